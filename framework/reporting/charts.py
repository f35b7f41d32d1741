"""Geometry of small line charts; `charts.html.j2` draws them as SVG."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from framework.methods.sections import Point, Series

COLOURS = 6
"""How many line colours the style sheet has; later series repeat them dashed."""


@dataclass(frozen=True)
class Tick:
    at: float
    text: str


@dataclass(frozen=True)
class Line:
    """The `d` of an SVG path; `dots` are the points to mark when they are few."""

    series: Series
    path: str
    dots: list[Point]


@dataclass(frozen=True)
class Frame:
    """Size of a chart and its margins, in pixels."""

    width: int
    height: int
    left: int = 44
    right: int = 10
    top: int = 10
    bottom: int = 24

    @property
    def x(self) -> tuple[int, int]:
        return self.left, self.width - self.right

    @property
    def y(self) -> tuple[int, int]:
        return self.height - self.bottom, self.top


WIDE = Frame(520, 250)
SMALL = Frame(340, 150)


@dataclass(frozen=True)
class Chart:
    """All that is to be drawn, in pixels from the top left."""

    title: str
    frame: Frame
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    lines: list[Line]
    reference: float | None


def line_chart(
    title: str,
    series: Sequence[Series],
    frame: Frame = WIDE,
    include: Sequence[float] = (),
    reference: float | None = None,
) -> Chart:
    """A chart of `series`, none of them empty, over steps from 0.

    The y axis reaches all values and those of `include`; `reference` is a level to mark.
    """
    drawn = [point for entry in series for point in thin(entry.points)]
    ys = [y for _, y in drawn] + list(include)
    last = max(x for x, _ in drawn)
    x_values, y_values = nice_ticks(0, last, 5), nice_ticks(min(ys), max(ys), 4)
    across, up = Scale(0, last, *frame.x), Scale(y_values[0], y_values[-1], *frame.y)
    return Chart(
        title,
        frame,
        [Tick(across(value), f"{value:,.0f}") for value in x_values if value <= last],
        [Tick(up(value), tick_text(value, y_values)) for value in y_values],
        [_line(entry, across, up) for entry in series],
        None if reference is None else up(reference),
    )


@dataclass(frozen=True)
class Scale:
    """A linear map of [low, high] to pixels."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        return round(self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start), 2)


def _line(series: Series, across: Scale, up: Scale) -> Line:
    points = [(across(x), up(y)) for x, y in thin(series.points)]
    return Line(series, "M" + "L".join(f"{x} {y}" for x, y in points), points if len(points) <= 12 else [])


def thin(points: Sequence[Point], most: int = 150) -> list[Point]:
    """At most `most` points: means of neighbours, which also calms the noise of single steps."""
    if len(points) <= most:
        return list(points)
    parts = np.array_split(np.array(points), most)
    return [(float(x), float(y)) for x, y in (part.mean(axis=0) for part in parts)]


def nice_ticks(low: float, high: float, count: int) -> list[float]:
    """About `count` multiples of 1, 2 or 5 times a power of ten that enclose `low` and `high`."""
    if not high > low:
        low, high = low - max(abs(low), 1) * 0.05, high + max(abs(high), 1) * 0.05
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = power * next(factor for factor in (1, 2, 5, 10) if rough <= factor * power * 1.0001)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [i * step for i in range(first, last + 1)]


def tick_text(value: float, ticks: Sequence[float]) -> str:
    """The value with as many decimals as the distance of the ticks needs."""
    decimals = max(0, -math.floor(math.log10(ticks[1] - ticks[0]) + 1e-9))
    return f"{value:,.{decimals}f}"


def coloured(named: Iterable[tuple[str, Sequence[Point]]]) -> list[Series]:
    """A colour for each line that has points, in order."""
    return [
        Series(name, points, i % COLOURS, dashed=i // COLOURS % 2 == 1)
        for i, (name, points) in enumerate(named)
        if points
    ]
