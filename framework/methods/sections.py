"""What a method adds to the report of its model: plain data, which the report draws."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from framework.core.storage import Store

Point = tuple[float, float]


@dataclass(frozen=True)
class ModelRecord:
    """A finished training: the model's folder, the records of its log, and its classes, background first."""

    store: Store
    log: Sequence[dict[str, Any]]
    classes: Sequence[str]

    def statistics(self, key: str) -> list[tuple[int, dict[str, Any]]]:
        """The method's statistics by step, of the steps that have the one of this name."""
        records = (record for record in self.log if key in record.get("statistics", {}))
        return [(record["step"], record["statistics"]) for record in records]


@dataclass(frozen=True)
class Series:
    """A line: points (x, y) by rising x, and the number of its colour."""

    name: str
    points: Sequence[Point]
    colour: int = 0
    dashed: bool = False

    @property
    def last(self) -> float:
        return self.points[-1][1]


@dataclass(frozen=True)
class LineChart:
    """Lines over optimiser steps; the y axis covers all values and `include`; `reference` is marked."""

    title: str
    series: Sequence[Series]
    include: Sequence[float] = ()
    reference: float | None = None


@dataclass(frozen=True)
class Histogram:
    """Bins `(low, high, count)` of the quantity `name`."""

    name: str
    bins: Sequence[tuple[float, float, int]]


@dataclass(frozen=True)
class ModelPicture:
    """A PNG file of the model's folder, panels side by side under `columns`, with a caption below."""

    file: str
    columns: Sequence[str]
    name: str
    value: str


@dataclass(frozen=True)
class Block:
    """One part of a section; `class_id` gives it the colour of a class."""

    title: str = ""
    class_id: int | None = None
    histogram: Histogram | None = None
    charts: Sequence[LineChart] = ()
    pictures: Sequence[ModelPicture] = ()


@dataclass(frozen=True)
class Section:
    """`about` is the same in every section of this title; `summary` and `blocks` are this model's."""

    title: str
    about: str
    summary: str = ""
    blocks: Sequence[Block] = field(default_factory=list)
