"""Classes that other installed packages add to a registry, by Python's entry points."""

from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Annotated, Any, Union

from pydantic import Discriminator, Tag

from framework.core.errors import ConfigError


def plugins(group: str) -> list[Any]:
    """What packages declare under an entry point such as `scantseg.methods`, in the order of their names."""
    return [entry.load() for entry in sorted(entry_points(group=group), key=lambda entry: entry.name)]


def name_of(registered: Any) -> str:
    """A registered class's own name, or the one that the `name` of its settings may have."""
    return getattr(registered, "name", None) or registered.Config.model_fields["name"].annotation.__args__[0]


def by_name(classes: list[Any], name_of: Callable[[Any], str] = name_of) -> dict[str, Any]:
    """Classes by their names; raises `ConfigError` when two have the same."""
    named: dict[str, Any] = {}
    for each in classes:
        name = name_of(each)
        if name in named:
            modules = f"{named[name].__module__} and {each.__module__}"
            raise ConfigError(f"'{name}' names both {modules}; uninstall one of them")
        named[name] = each
    return named


def settings_of_any(registered: dict[str, Any], default: str | None = None) -> Any:
    """The type of settings of any registered class, chosen by `name`; without one they are the default's."""

    def name(value: Any) -> str | None:  # errors call the key by the name of this function
        return value.get("name", default) if isinstance(value, dict) else getattr(value, "name", None)

    tagged = [Annotated[each.Config, Tag(key)] for key, each in registered.items()]
    return Annotated[Union[tuple(tagged)], Discriminator(name)]
