"""What a method says about a model of its own in a report: plain data, which the report draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from framework.core.storage import Store

Point = tuple[float, float]


@dataclass(frozen=True)
class ModelRecord:
    """What is left of a training: the model's folder, the records of its log, and the classes of its masks, background first."""

    store: Store
    log: Sequence[dict[str, Any]]
    classes: Sequence[str]

    def statistics(self, key: str) -> list[tuple[int, dict[str, Any]]]:
        """By step, the method's statistics among which there is one of this name."""
        records = (record for record in self.log if key in record.get("statistics", {}))
        return [(record["step"], record["statistics"]) for record in records]


@dataclass(frozen=True)
class Series:
    """A line: points (x, y), in order of x, and the number of its colour."""

    name: str
    points: Sequence[Point]
    colour: int = 0
    dashed: bool = False

    @property
    def last(self) -> float:
        return self.points[-1][1]


@dataclass(frozen=True)
class LineChart:
    """Lines over optimiser steps; the y axis reaches all values and those of `include`; `reference` is a level to mark."""

    title: str
    series: Sequence[Series]
    include: Sequence[float] = ()
    reference: float | None = None


@dataclass(frozen=True)
class Histogram:
    """How many of what `name` says lie in each bin `(low, high, count)`."""

    name: str
    bins: Sequence[tuple[float, float, int]]


@dataclass(frozen=True)
class ModelPicture:
    """A PNG file of the model's folder, panels side by side under `columns`, and what stands below."""

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
    """What all models with a section of the same title share: `about`; and what this one has: `summary` and blocks."""

    title: str
    about: str
    summary: str = ""
    blocks: Sequence[Block] = field(default_factory=list)
