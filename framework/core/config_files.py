"""Configuration files: YAML that includes others, dotted overrides, one-line errors for what does not fit."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, TypeAdapter, ValidationError

from framework.core.config_faults import explain, models_of
from framework.core.errors import ConfigError


def load_yaml(path: str | Path, within: tuple[Path, ...] = ()) -> dict[str, Any]:
    """A YAML file, merged over those that it includes; `within` include it. Raises `ConfigError`."""
    path = Path(path)
    if path.resolve() in within:
        mend = "take it out of its 'include', or out of that of a file it includes"
        raise ConfigError(f"{path}: includes itself; {mend}")
    value = _read_yaml(path)
    names = value.pop("include", [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ConfigError(f"{path}: 'include' is {names!r}; it is a list of file names, such as [base.yaml]")
    merged: dict[str, Any] = {}
    for name in names:
        merge(merged, load_yaml(path.parent / name, (*within, path.resolve())))
    return merge(merged, value)


def _read_yaml(path: Path) -> dict[str, Any]:
    read = documents(path)
    if len(read) != 1 or not isinstance(read[0], dict):
        raise ConfigError(f"{path}: holds no keys; a configuration is a mapping of keys to values")
    return read[0]


def documents(path: str | Path) -> list[Any]:
    """The documents of a YAML file, as they stand. Raises `ConfigError`."""
    path = Path(path)
    try:
        return list(yaml.safe_load_all(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        beside = ", ".join(sorted(other.name for other in path.parent.glob("*.yaml"))[:12]) or "none"
        raise ConfigError(f"{path}: no such configuration file; those here: {beside}") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); give a YAML file") from None
    except (yaml.YAMLError, ValueError) as error:  # ValueError: not UTF-8, or a date such as 2026-13-01
        raise ConfigError(f"{path}: not valid YAML ({' '.join(str(error).split())[:160]})") from None


def merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Lay one mapping over another, key by key, in place; a `name` that changes starts its section anew."""
    for key, value in over.items():
        match base.get(key), value:
            case dict(below), dict() if value.get("name", below.get("name")) == below.get("name"):
                merge(below, value)
            case _:
                base[key] = value
    return base


def override(base: dict[str, Any], assignments: Sequence[str]) -> dict[str, Any]:
    """Apply `key.sub=value` assignments in place, values being YAML. Raises `ConfigError` for other forms."""
    for text in assignments:
        dotted, equals, value = text.partition("=")
        if not equals or not dotted:
            raise ConfigError(f"'{text}': an override has the form key.sub=value")
        try:
            nested = yaml.safe_load(value)
        except (yaml.YAMLError, ValueError):
            raise ConfigError(f"'{text}': the value is not valid YAML") from None
        for part in reversed(dotted.split(".")):
            nested = {part: nested}
        merge(base, nested)
    return base


def parse(value: dict[str, Any], model: Any, where: str = "configuration") -> Any:
    """Validate a mapping; raises a one-line `ConfigError` with the dotted key, and the nearest known one."""
    try:
        return TypeAdapter(model).validate_python(value)
    except ValidationError as error:
        faults = "; ".join(explain(fault, model) for fault in error.errors()[:3])
        raise ConfigError(f"{where}: {faults}") from None


def known_keys(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """All dotted keys of a description, those of every method and network included."""
    for name, info in model.model_fields.items():
        yield prefix + name
        for nested in models_of(info.annotation):
            yield from known_keys(nested, f"{prefix}{name}.")
