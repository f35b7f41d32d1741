"""The lineage of artifacts as a picture: columns by depth, inputs on the left; `charts.html.j2` draws it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

from framework.reporting.sources import Artifact

BOX, GAP = (186, 64), (44, 16)
LANE = 14  # height that a line takes where it passes a column
Key = tuple[str, int]  # of an artifact's box or the lane of its line through a column, and the column


@dataclass
class Node:
    """A box; `x` and `y` are its top left corner. What is not `given` is an input known by name only."""

    key: str
    name: str
    kind: str
    hash: str
    note: str
    given: bool
    parents: list[str] = field(default_factory=list)
    column: int = 0
    x: float = 0
    y: float = 0
    width: int = BOX[0]
    height: int = BOX[1]


class Picture(NamedTuple):
    """Boxes and the `d` of the arrows between them."""

    width: float
    height: float
    nodes: list[Node]
    arrows: list[str]


def lineage_picture(artifacts: Sequence[Artifact], notes: dict[str, str]) -> Picture:
    """Place the artifacts, parents first, and their inputs; `notes` has a line of text for some keys."""
    nodes = _nodes(artifacts, notes)
    centres = _place(nodes)
    for node in nodes.values():
        node.x, node.y = node.column * (BOX[0] + GAP[0]), centres[node.key, node.column] - BOX[1] / 2
    arrows = [arrow for node in nodes.values() for arrow in _arrows(node, nodes, centres)]
    width = max(node.x for node in nodes.values()) + BOX[0]
    height = max(node.y for node in nodes.values()) + BOX[1]
    return Picture(width, height, list(nodes.values()), arrows)


def _nodes(artifacts: Sequence[Artifact], notes: dict[str, str]) -> dict[str, Node]:
    nodes: dict[str, Node] = {}
    for artifact in artifacts:
        for p in artifact.parents:
            nodes.setdefault(p.key, Node(p.key, p.name, p.role.split()[0], p.hash, "", given=False))
        keys = [parent.key for parent in artifact.parents]
        column = 1 + max((nodes[key].column for key in keys), default=-1)
        key, hash, note = artifact.key, artifact.record["hash"], notes.get(artifact.key, "")
        nodes[key] = Node(key, artifact.name, artifact.kind, hash, note, True, keys, column)
    return nodes


def _place(nodes: dict[str, Node]) -> dict[Key, float]:
    """The middle of every box and lane: by column and the mean place of what leads to it, lanes first."""
    leads = _leads(nodes)
    centres: dict[Key, float] = {}

    def is_box(key: Key) -> bool:
        return nodes[key[0]].column == key[1]

    def place(key: Key) -> tuple[float, bool]:
        return sum(centres[lead] for lead in leads[key]) / max(1, len(leads[key])), is_box(key)

    for column in range(max(node.column for node in nodes.values()) + 1):
        top = 0.0
        for key in sorted((key for key in leads if key[1] == column), key=place):
            height = BOX[1] if is_box(key) else LANE
            centres[key] = top + height / 2
            top += height + GAP[1]
    return centres


def _leads(nodes: dict[str, Node]) -> dict[Key, list[Key]]:
    """For every box and lane, the boxes and lanes of the column before that run into it."""
    leads: dict[Key, list[Key]] = {(node.key, node.column): [] for node in nodes.values()}
    for node in nodes.values():
        for parent in node.parents:
            start = nodes[parent].column
            for column in range(start + 1, node.column):
                leads.setdefault((parent, column), [(parent, column - 1)])
            leads[node.key, node.column].append((parent, node.column - 1))
    return leads


def _arrows(node: Node, nodes: dict[str, Node], centres: dict[Key, float]) -> list[str]:
    """One path from each parent, through the lanes between; the ends are spread over the box's left side."""
    routes = []
    for parent in node.parents:
        passed = range(nodes[parent].column, node.column)
        routes.append([(column, centres[parent, column]) for column in passed])
    routes.sort(key=lambda route: route[-1][1])
    ends = [node.y + BOX[1] * (i + 1) / (len(routes) + 1) for i in range(len(routes))]
    return [_path([*route, (node.column, end)]) for route, end in zip(routes, ends, strict=True)]


def _path(stops: list[tuple[int, float]]) -> str:
    """Level across every column, an S between two columns."""
    path, bend = "", GAP[0] * 0.6
    for (column, y), (after, y_after) in pairwise(stops):
        x, left = column * (BOX[0] + GAP[0]) + BOX[0], after * (BOX[0] + GAP[0])
        target = left - 7 if after == stops[-1][0] else left  # room for the arrow's head
        path += f"H{x}" if path else f"M{x} {y:.1f}"
        path += f"C{x + bend:.1f} {y:.1f} {left - bend:.1f} {y_after:.1f} {target} {y_after:.1f}"
    return path
