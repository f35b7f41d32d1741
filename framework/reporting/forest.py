"""Geometry of a forest plot: differences with their intervals, a line each; `charts.html.j2` draws it."""

from collections.abc import Sequence
from typing import NamedTuple

from framework.metrics.bootstrap import Interval
from framework.reporting.charts import Tick, nice_ticks, scale, tick_text

WIDTH, LEFT, RIGHT = 780, 230, 200  # pixels of the whole, of the names, and of the numbers beside the plot
LINE, FOOT = 34, 46  # height of a line, and of the axis below


class Mark(NamedTuple):
    """One difference: its line's middle, and its interval in pixels and in the metric's unit."""

    name: str
    detail: str
    colour: int
    y: float
    drawn: Interval
    interval: Interval


class Forest(NamedTuple):
    """All that is to be drawn, in pixels from the top left."""

    width: int
    height: int
    x: tuple[int, int]
    bottom: int
    zero: float
    ticks: list[Tick]
    marks: list[Mark]


def forest_plot(entries: Sequence[tuple[str, str, int, Interval]]) -> Forest:
    """`entries` are name, detail, colour's number and difference; the axis reaches all intervals and zero."""
    ends = [end for *_, interval in entries for end in (interval.low, interval.high)]
    values = nice_ticks(min(0.0, *ends), max(0.0, *ends), 5)
    x, bottom = (LEFT, WIDTH - RIGHT), LINE * len(entries) + 8
    across = scale(values[0], values[-1], *x)
    marks = []
    for i, (name, detail, colour, interval) in enumerate(entries):
        drawn = Interval(*(across(end) for end in (interval.mean, interval.low, interval.high)))
        marks.append(Mark(name, detail, colour, 8 + LINE * (i + 0.5), drawn, interval))
    ticks = [Tick(across(value), tick_text(value, values).replace("-", "−")) for value in values]
    return Forest(WIDTH, bottom + FOOT, x, bottom, across(0), ticks, marks)


def signed(value: float, decimals: int = 3) -> str:
    """`+0.020`, or `−0.020` with a true minus; what rounds to zero has no sign."""
    text = f"{abs(value):.{decimals}f}"
    return text if not text.strip("0.") else f"{'−' if value < 0 else '+'}{text}"
