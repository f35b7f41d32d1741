"""Typed settings as options of the command line: from fields to parameters, and from values to settings."""

from collections.abc import Iterator
from inspect import Parameter
from types import UnionType
from typing import Annotated, Any, Literal, Optional, get_args, get_origin

import typer
import yaml
from pydantic.fields import FieldInfo

from framework.core.config_faults import models_of
from framework.core.config_files import override
from framework.core.errors import ConfigError
from framework.core.settings import PLACEMENT

NESTED = "settings_of_settings"
LIMITS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}


def parameter(name: str, annotation: Any, default: Any = Parameter.empty) -> Parameter:
    """A parameter of a command's function."""
    return Parameter(name, Parameter.KEYWORD_ONLY, annotation=annotation, default=default)


def options(config: Any) -> Iterator[Parameter]:
    """An option for each setting of a model or of a union of them.

    Lists and mappings are repeated in the singular; `--set KEY.SUB=VALUE` changes what has settings of its
    own. No option has a default or a limit of its own: both are the settings' business.
    """
    fields = _fields(config)
    nested = [name for name, infos in fields.items() if models_of(infos[0].annotation)]
    for name, infos in fields.items():
        if name not in nested:
            option = typer.Option(_flag(name, infos[0]), help=_help(infos), metavar=_metavar(infos))
            yield parameter(name, Annotated[Optional[_read_as(infos[0].annotation)], option], None)
    if nested:
        text = f"Change a setting of {' or '.join(nested)}, such as {nested[0]}=null. [repeatable]"
        option = typer.Option("--set", help=text, metavar="KEY.SUB=VALUE")
        yield parameter(NESTED, Annotated[Optional[list[str]], option], None)


def values(config: Any, given: dict[str, Any]) -> dict[str, Any]:
    """The settings that a user gave, as `parse` takes them."""
    assignments, fields = given.pop(NESTED, None) or [], _fields(config)
    chosen = {name: value for name, value in given.items() if value not in (None, [])}
    for name, value in chosen.items():
        if get_origin(fields[name][0].annotation) is dict:
            chosen[name] = dict(_entry(text, name, fields[name][0]) for text in value)
        elif get_origin(_plain(fields[name][0].annotation)) is UnionType:
            chosen[name] = yaml.safe_load(value)
    return override(chosen, assignments)


def _fields(config: Any) -> dict[str, list[FieldInfo]]:
    """A setting's field in each of the models that have it; what determines nothing comes last."""
    fields: dict[str, list[FieldInfo]] = {}
    for model in models_of(config):
        for name, info in model.model_fields.items():
            fields.setdefault(name, []).append(info)
    return dict(sorted(fields.items(), key=lambda field: PLACEMENT in field[1][0].metadata))


def _plain(annotation: Any) -> Any:
    """A type without limits and None."""
    parts = [part for part in get_args(annotation) if part is not type(None)]
    if get_origin(annotation) is Annotated or len(parts) < len(get_args(annotation)):
        return _plain(parts[0])
    return annotation


def _read_as(annotation: Any) -> Any:
    """The type that the command line reads a setting as."""
    kind = _plain(annotation)
    origin, parts = get_origin(kind), get_args(kind)
    if origin is list:
        return list[_read_as(parts[0])]
    if origin is tuple:
        return tuple[tuple(map(_read_as, parts))]  # type: ignore[misc]
    return {dict: list[str], Literal: str, UnionType: str}.get(origin, kind)


def _is_repeated(info: FieldInfo) -> bool:
    return get_origin(_plain(info.annotation)) in (list, dict)


def _flag(name: str, info: FieldInfo) -> str:
    flag = name.replace("_", "-").removesuffix("s" * _is_repeated(info))
    return f"--{flag}/--no-{flag}" if info.annotation is bool else f"--{flag}"


def _metavar(infos: list[FieldInfo]) -> str | None:
    """The form of a mapping's entry, the words that are allowed, or the type of a list's items."""
    if get_origin(infos[0].annotation) is dict:
        return _form(infos[0])
    kinds = [_plain(info.annotation) for info in infos]
    items = [get_args(kind)[0] if get_origin(kind) is list else kind for kind in kinds]
    words = [word for item in items if get_origin(item) is Literal for word in get_args(item)]
    return "|".join(words) or (f"<{items[0].__name__}>" if _is_repeated(infos[0]) else None)


def _help(infos: list[FieldInfo]) -> str:
    """The first sentence of a setting's docstring, its limits and its default."""
    info = infos[0]
    text = (info.description or "").removeprefix(f"{_form(info)}: " if _is_repeated(info) else "")
    limits = [(sign, getattr(part, key, None)) for part in info.metadata for key, sign in LIMITS.items()]
    notes = [f"{sign} {limit:g}" for sign, limit in limits if limit is not None]
    tells_apart = len({str(each.default) for each in infos}) > 1  # the models of a union
    if info.is_required() or tells_apart:
        notes.append("required")
    elif info.default:
        shown = " ".join(map(str, info.default)) if isinstance(info.default, list | tuple) else info.default
        notes.append(f"default: {shown}")
    notes += ["repeatable"] * _is_repeated(info)
    return f"{text.split('. ')[0].rstrip('.')}." + (f" [{', '.join(notes)}]" if notes else "")


def _form(info: FieldInfo) -> str:
    """How an entry of a mapping is written; its docstring begins with it, up to a colon."""
    return (info.description or "").partition(":")[0]


def _entry(text: str, name: str, info: FieldInfo) -> tuple[str, Any]:
    """An entry of a mapping, `KEY=VALUE`, or `KEY=VALUE.VALUE` where its values are pairs."""
    key, equals, value = text.partition("=")
    pair = get_origin(get_args(info.annotation)[1]) is tuple
    if not equals or (pair and "." not in value):
        raise ConfigError(f"{_flag(name, info)} '{text}': has the form {_form(info)}")
    return key, tuple(value.split(".", 1)) if pair else value
