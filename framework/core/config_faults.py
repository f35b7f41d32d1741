"""What pydantic finds wrong with a configuration, for somebody who sees keys and not classes."""

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel

from framework.core.errors import nearest


def explain(fault: Any, model: Any) -> str:
    """One fault, as a part of a line."""
    dotted, beside = _locate(fault["loc"], model)
    if fault["type"] == "extra_forbidden":
        return f"unknown key '{dotted}'{nearest(str(fault['loc'][-1]), beside)}"
    if fault["type"] == "missing":
        return f"key '{dotted}' is missing"
    if fault["type"].startswith("union_tag"):
        return _explain_choice(dotted, **fault["ctx"])
    message = fault["msg"].removeprefix("Value error, ").split(" or instance of ")[0]
    message = message[0].lower() + message[1:]
    return f"key '{dotted}' is {_brief(fault['input'])}: {message}" if dotted else message


def _explain_choice(dotted: str, discriminator: str, tag: str | None = None, expected_tags: str = "") -> str:
    """The key that chooses one of several descriptions, such as `method.name`, is missing or wrong."""
    key = f"{dotted}.{discriminator}".replace("'", "").removesuffix("()").lstrip(".")
    if tag is None:
        return f"key '{key}' is missing"
    known = [name.strip("'") for name in expected_tags.split(", ")]
    return f"key '{key}' is '{tag}'{nearest(tag, known)}"


def _locate(parts: Sequence[str | int], model: Any) -> tuple[str, list[str]]:
    """A place in a description as its reader writes it, such as `stages[1].name`, and the keys known there.

    Pydantic's places also hold the name of the description that was chosen from several, which is not a key.
    """
    dotted, models, known = "", models_of(model), []
    for i, part in enumerate(parts):
        fields = {name: info for model in models for name, info in model.model_fields.items()}
        if isinstance(part, int):
            dotted += f"[{part}]"
        elif part in fields or i == len(parts) - 1:
            dotted += f".{part}"
            known = list(fields)
            models = models_of(fields[part].annotation) if part in fields else []
        else:
            models = [model for model in models if _is_called(model, part)]
    return dotted.lstrip("."), known


def _is_called(model: type[BaseModel], tag: str) -> bool:
    return any(tag in getattr(info.annotation, "__args__", ()) for info in model.model_fields.values())


def _brief(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"


def models_of(annotation: Any) -> list[type[BaseModel]]:
    """The descriptions that a field may hold."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in getattr(annotation, "__args__", ()) for model in models_of(part)]
