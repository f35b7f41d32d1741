"""What is wrong with a file that describes a cluster, and where."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Finding:
    """One fault: the dotted key, what is wrong with it, and what to write instead."""

    where: str
    fault: str
    mend: str

    def __str__(self) -> str:
        return f"{self.where}: {self.fault}; {self.mend}"


@dataclass(frozen=True)
class Text:
    """A text of a description, its dotted key, and the name that its value belongs to."""

    where: str
    name: str
    text: str


def texts(value: Any, where: str = "", name: str = "") -> Iterator[Text]:
    """All texts of a description. In a list of pairs `{name: …, value: …}` the value belongs to that name."""
    if isinstance(value, dict):
        for key, inner in value.items():
            owner = value["name"] if key == "value" and "name" in value else key
            yield from texts(inner, f"{where}.{key}".lstrip("."), str(owner))
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield from texts(inner, f"{where}[{i}]", name)
    elif isinstance(value, str):
        yield Text(where, name, value)
