"""Classes that other installed packages add to a registry, by Python's entry points."""

from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Any

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
