"""The lineage of artifacts as a picture: columns by depth, inputs on the left; `charts.html.j2` draws it."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from framework.reporting.sources import Artifact, Parent

BOX = (186, 64)
LANE = 14
"""Height that a line takes where it passes a column."""
GAP = (44, 16)
Key = tuple[str, int]
"""An artifact, or the lane of its line through a column: its key and the column."""


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


@dataclass(frozen=True)
class Picture:
    """Boxes and the `d` of the arrows between them."""

    width: float
    height: float
    nodes: list[Node]
    arrows: list[str]


def lineage_picture(artifacts: Sequence[Artifact], notes: dict[str, str]) -> Picture:
    """Place the artifacts, parents first, and their inputs; `notes` has a line of text for some keys."""
    nodes = _nodes(artifacts, notes)
    tops = _place(nodes)
    for node in nodes.values():
        node.x, node.y = node.column * (BOX[0] + GAP[0]), tops[node.key, node.column]
    arrows = [arrow for node in nodes.values() for arrow in _arrows(node, nodes, tops)]
    width = max(node.x for node in nodes.values()) + BOX[0]
    height = max(node.y for node in nodes.values()) + BOX[1]
    return Picture(width, height, list(nodes.values()), arrows)


def _nodes(artifacts: Sequence[Artifact], notes: dict[str, str]) -> dict[str, Node]:
    nodes: dict[str, Node] = {}
    for artifact in artifacts:
        for parent in artifact.parents:
            nodes.setdefault(parent.key, _unseen(parent))
        keys = [parent.key for parent in artifact.parents]
        column = 1 + max((nodes[key].column for key in keys), default=-1)
        key, hash, note = artifact.key, artifact.record["hash"], notes.get(artifact.key, "")
        nodes[key] = Node(key, artifact.name, artifact.kind, hash, note, True, keys, column)
    return nodes


def _unseen(parent: Parent) -> Node:
    return Node(parent.key, parent.name, parent.role.split()[0], parent.hash, "", given=False)


def _place(nodes: dict[str, Node]) -> dict[Key, float]:
    """The top of every box and lane: column by column, by the mean place of what leads to it, lanes first."""
    leads = _leads(nodes)
    tops: dict[Key, float] = {}

    def place(key: Key) -> tuple[float, bool]:
        centres = [_centre(lead, nodes, tops) for lead in leads[key]]
        return sum(centres) / max(1, len(centres)), not _is_lane(key, nodes)

    for column in range(max(node.column for node in nodes.values()) + 1):
        top = 0.0
        for key in sorted((key for key in leads if key[1] == column), key=place):
            tops[key] = top
            top += _height(key, nodes) + GAP[1]
    return tops


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


def _is_lane(key: Key, nodes: dict[str, Node]) -> bool:
    return nodes[key[0]].column != key[1]


def _height(key: Key, nodes: dict[str, Node]) -> int:
    return LANE if _is_lane(key, nodes) else BOX[1]


def _centre(key: Key, nodes: dict[str, Node], tops: dict[Key, float]) -> float:
    return tops[key] + _height(key, nodes) / 2


def _arrows(node: Node, nodes: dict[str, Node], tops: dict[Key, float]) -> list[str]:
    """One path from each parent, through the lanes between; the ends are spread over the box's left side."""
    routes = []
    for parent in node.parents:
        passed = range(nodes[parent].column, node.column)
        routes.append([(column, _centre((parent, column), nodes, tops)) for column in passed])
    routes.sort(key=lambda route: route[-1][1])
    ends = [node.y + BOX[1] * (i + 1) / (len(routes) + 1) for i in range(len(routes))]
    return [_path([*route, (node.column, end)]) for route, end in zip(routes, ends, strict=True)]


def _path(stops: list[tuple[int, float]]) -> str:
    """Level across every column, an S between two columns."""
    column, y = stops[0]
    x = column * (BOX[0] + GAP[0]) + BOX[0]
    path = f"M{x} {y:.1f}"
    for column, y_next in stops[1:]:
        left = column * (BOX[0] + GAP[0])
        last = column == stops[-1][0]
        target = left - 7 if last else left  # room for the arrow's head
        bend = GAP[0] * 0.6
        path += f"C{x + bend:.1f} {y:.1f} {left - bend:.1f} {y_next:.1f} {target} {y_next:.1f}"
        path += "" if last else f"H{left + BOX[0]}"
        x, y = left + BOX[0], y_next
    return path
