"""Geometry of small line charts; `charts.html.j2` draws them as SVG."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from framework.methods.sections import Point, Series

COLOURS = 6  # of lines in the style sheet; later series repeat them dashed
Scale = Callable[[float], float]


class Tick(NamedTuple):
    at: float
    text: str


class Line(NamedTuple):
    """The `d` of an SVG path; `dots` are the points to mark when they are few."""

    series: Series
    path: str
    dots: list[Point]


class Frame(NamedTuple):
    """Size of a chart, and the ends of its axes within the margins, in pixels."""

    width: int
    height: int

    @property
    def x(self) -> tuple[int, int]:
        return 44, self.width - 10

    @property
    def y(self) -> tuple[int, int]:
        return self.height - 24, 10


WIDE, SMALL = Frame(520, 250), Frame(340, 150)


class Chart(NamedTuple):
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
    """A chart of `series`, none of them empty, over steps from 0; the y axis reaches all values and those of
    `include`, `reference` is a level to mark."""
    drawn = [point for entry in series for point in thin(entry.points)]
    ys = [y for _, y in drawn] + list(include)
    last = max(x for x, _ in drawn)
    x_values, y_values = nice_ticks(0, last, 5), nice_ticks(min(ys), max(ys), 4)
    across, up = scale(0, last, *frame.x), scale(y_values[0], y_values[-1], *frame.y)
    return Chart(
        title,
        frame,
        [Tick(across(value), f"{value:,.0f}") for value in x_values if value <= last],
        [Tick(up(value), tick_text(value, y_values)) for value in y_values],
        [_line(entry, across, up) for entry in series],
        None if reference is None else up(reference),
    )


def scale(low: float, high: float, start: float, end: float) -> Scale:
    """The linear map of [low, high] to pixels from `start` to `end`."""
    return lambda value: round(start + (value - low) / (high - low) * (end - start), 2)


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


def style(place: int) -> dict[str, Any]:
    """Colour and dashes of a line by its place in the order."""
    return {"colour": place % COLOURS, "dashed": place // COLOURS % 2 == 1}


def coloured(named: Iterable[tuple[str, Sequence[Point]]]) -> list[Series]:
    """The lines that have points, each in the style of its place."""
    return [Series(name, points, **style(i)) for i, (name, points) in enumerate(named) if points]
