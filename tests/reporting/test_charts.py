"""The geometry of charts."""

from __future__ import annotations

import pytest

from framework.methods.sections import Series
from framework.metrics.bootstrap import Interval
from framework.reporting.charts import line_chart, thin
from framework.reporting.forest import forest_plot, signed


def test_larger_values_lie_higher_and_later_steps_further_right() -> None:
    chart = line_chart("Dice", [Series("model", [(1, 0.2), (9, 0.8)], 0)], include=(0.0,))
    ((first, last),) = (line.dots for line in chart.lines)
    assert first[0] < last[0] and first[1] > last[1]
    places = {tick.text: tick.at for tick in chart.y_ticks}
    assert places["0.0"] == max(places.values())  # pixels are counted from the top


def test_many_points_are_means_of_neighbours_from_the_first_to_the_last() -> None:
    points = [(float(step), 2.0 * step) for step in range(1000)]
    few = thin(points, most=10)
    assert few[0] == (49.5, 99.0) and few[-1] == (949.5, 1899.0) and len(few) == 10
    assert thin(points[:10], most=10) == points[:10]


@pytest.mark.parametrize("sign", [-1, 1])
def test_a_plot_of_differences_shows_where_zero_is(sign: int) -> None:
    ends = sorted((sign * 0.2, sign * 0.4))
    plot = forest_plot([("a", "", 0, Interval(sign * 0.3, *ends))])
    (mark,) = plot.marks
    assert plot.x[0] <= plot.zero <= plot.x[1]
    assert mark.drawn.low < mark.drawn.mean < mark.drawn.high
    assert (mark.drawn.mean > plot.zero) == (sign > 0)


def test_differences_have_a_true_sign() -> None:
    assert [signed(value) for value in (0.02, -0.02, -0.0001)] == ["+0.020", "−0.020", "0.000"]
