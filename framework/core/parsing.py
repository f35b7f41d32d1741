"""The content of small files, as a type: what a file holds, or in one line why it holds something else."""

import json
from typing import Any

from framework.core.errors import StorageError

DAMAGED = "the file is damaged"
"""How a message ends about a file that holds something else than was written."""


def text_of(data: bytes, where: str) -> str:
    """UTF-8 text; raises `StorageError`, as all here do, for something else at `where`."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise StorageError(f"{where}: not UTF-8 text; {DAMAGED}") from None


def parsed(data: bytes, where: str, kind: Any = Any) -> Any:
    """JSON, or YAML where the name ends so, as a type that pydantic knows, such as a model of it."""
    return _typed((_yaml if where.endswith(".yaml") else _json)(data, where), where, kind)


def _json(data: bytes, where: str) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise StorageError(f"{where}: not valid JSON ({error}); {DAMAGED}") from None


def _yaml(data: bytes, where: str) -> Any:
    import yaml

    try:
        return yaml.safe_load(text_of(data, where))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        fault = " ".join(str(error).split())[:160]
        raise StorageError(f"{where}: not valid YAML ({fault}); {DAMAGED}") from None


def _typed(value: Any, where: str, kind: Any) -> Any:
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        first = error.errors()[0]
        fault = f"{'.'.join(map(str, first['loc'])) or 'the whole'}: {first['msg']}"
        raise StorageError(f"{where}: not of its form ({fault}); {DAMAGED}") from None
