"""Typed settings, and which of them determine a result: marked where a field is declared."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel, ConfigDict
from pydantic_core import to_jsonable_python

from framework.core.config_faults import models_of


class Settings(BaseModel):
    """Base of all settings: an unknown key is an error."""

    model_config = ConfigDict(extra="forbid")


PLACEMENT: Final = "placement"
"""Marks a field, as `Annotated[str, PLACEMENT]`, that changes no result: a place, a number of workers."""


@dataclass(frozen=True)
class PlacementWhile:
    """Marks a field that changes no result while another field of its section has a value."""

    field: str
    value: Any


BY_HASH: Final = "by hash"
"""Marks a field that names artifacts: their hashes count, which an artifact records as its inputs."""
ORDERED: Final = "ordered"
"""Marks a mapping whose order counts too."""


def identity(settings: BaseModel) -> dict[str, Any]:
    """What determines a result, by dotted key, as JSON has it."""
    return dict(_fields(settings, ""))


def digest(value: Any) -> str:
    """A short hash of what JSON can hold."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def placements(settings: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Dotted keys of the fields that are marked as placement."""
    for name, info in settings.model_fields.items():
        if PLACEMENT in info.metadata:
            yield prefix + name
        else:
            for nested in models_of(info.annotation):
                yield from placements(nested, f"{prefix}{name}.")


def _fields(settings: BaseModel, prefix: str) -> Iterator[tuple[str, Any]]:
    for name, info in type(settings).model_fields.items():
        if not any(_is_left_out(mark, settings) for mark in info.metadata):
            yield from _values(prefix + name, getattr(settings, name), ORDERED in info.metadata)


def _is_left_out(mark: Any, settings: BaseModel) -> bool:
    if isinstance(mark, PlacementWhile):
        return getattr(settings, mark.field) == mark.value
    return mark in (PLACEMENT, BY_HASH)


def _values(key: str, value: Any, ordered: bool) -> Iterator[tuple[str, Any]]:
    if isinstance(value, BaseModel):
        yield from _fields(value, f"{key}.")
    elif isinstance(value, dict):
        if ordered:
            yield key, list(value)
        for name, part in value.items():
            yield from _values(f"{key}.{name}", part, False)
    else:
        yield key, to_jsonable_python(value)
