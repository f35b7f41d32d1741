"""Who imports whom in framework/, read from the code: imports inside functions and for types count too."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROOMS = (
    *("core", "cluster", "imaging", "corpus", "loading", "networks", "metrics", "methods", "training"),
    *("inference", "labelling", "evaluation", "reporting", "experiments", "cli"),
)
"""From the ground up: a room knows those before it."""

Imports = dict[str, set[str]]
"""By module, the modules that it imports."""


def imports() -> Imports:
    modules = {_module(path): path for path in sorted((ROOT / "framework").rglob("*.py"))}
    return {name: set(_imported(path, modules.keys())) - {name} for name, path in modules.items()}


def upward(arrows: Imports) -> list[tuple[str, str]]:
    """Imports of a room from one above it, and of the front, `framework` itself, from any room."""
    pairs = [(name, other) for name, others in arrows.items() for other in sorted(others)]
    return [(name, other) for name, other in pairs if _floor(other) > _floor(name)]


def circles(arrows: Imports) -> list[list[str]]:
    """Groups of modules that import each other in a circle (strongly connected, Tarjan 1972), and of
    rooms."""
    between: Imports = {room: set() for room in ROOMS}
    for name, others in arrows.items():
        if name != "framework":
            between[_room(name)] |= {_room(other) for other in others if other != "framework"} - {_room(name)}
    return _connected(arrows) + _connected(between)


def rooms_of(arrows: Imports) -> list[str]:
    return sorted({_room(name) for name in arrows} - {""})


def lines() -> int:
    return sum(len(path.read_text().splitlines()) for path in (ROOT / "framework").rglob("*.py"))


def _module(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def _room(name: str) -> str:
    return [*name.split("."), ""][1]


def _floor(name: str) -> int:
    return ROOMS.index(_room(name)) if _room(name) else -1


def _imported(path: Path, known: object) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module:
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in known else node.module for name in inner]  # type: ignore[operator]
        yield from (name for name in names if name in known)  # type: ignore[operator]


def _connected(arrows: Imports) -> list[list[str]]:
    place: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    groups: list[list[str]] = []

    def visit(name: str) -> None:
        place[name] = low[name] = len(place)
        stack.append(name)
        for other in sorted(arrows[name]):
            if other not in place:
                visit(other)
            if other in stack:
                low[name] = min(low[name], low[other])
        if low[name] == place[name]:
            group = stack[stack.index(name) :]
            del stack[stack.index(name) :]
            if len(group) > 1:
                groups.append(group)

    for name in arrows:
        if name not in place:
            visit(name)
    return groups
