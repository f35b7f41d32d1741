from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framework.metrics.bootstrap import RESAMPLES, crossed_intervals, mean_intervals, resamples


def test_one_group_has_no_spread():
    interval = mean_intervals([[0.1], [0.4], [0.7]], ["p"] * 3)[0]
    assert interval.low == interval.mean == interval.high == pytest.approx(0.4)


def test_same_seed_same_interval():
    values, groups = np.random.default_rng(1).random((30, 2)), [f"p{i // 3}" for i in range(30)]
    assert mean_intervals(values, groups) == mean_intervals(values, groups)
    assert mean_intervals(values, groups) != mean_intervals(values, groups, seed=1)


def test_agrees_with_normal_theory_for_independent_cases():
    values = np.random.default_rng(2).normal(size=(400, 1))
    interval = mean_intervals(values, [str(i) for i in range(400)])[0]
    spread = 1.96 * values.std() / 20
    assert interval.low == pytest.approx(values.mean() - spread, abs=0.02)
    assert interval.high == pytest.approx(values.mean() + spread, abs=0.02)


def test_copies_of_a_case_within_its_group_add_no_evidence():
    values = np.random.default_rng(3).random((12, 1))
    groups = [f"p{i}" for i in range(12)]
    once, often = (
        mean_intervals(values, groups)[0],
        mean_intervals(np.repeat(values, 10, 0), [p for p in groups for _ in range(10)])[0],
    )
    assert (often.low, often.high) == (pytest.approx(once.low), pytest.approx(once.high))


def test_images_of_a_patient_are_drawn_together():
    drawn = resamples(["a", "b", "a", "c"])
    assert drawn.shape == (RESAMPLES, 4) and (drawn[:, 0] == drawn[:, 2]).all()
    assert (drawn[:, [0, 1, 3]].sum(1) == 3).all() and drawn.std(0).min() > 0


def test_groups_weigh_by_their_cases():
    assert mean_intervals([[0.0], [1.0], [1.0]], ["a", "b", "b"])[0].mean == pytest.approx(2 / 3)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.sampled_from("abcde")), min_size=1, max_size=20))
def test_interval_lies_within_the_values(cases):
    values, groups = zip(*cases, strict=True)
    interval = mean_intervals(np.array(values)[:, None], groups)[0]
    assert min(values) - 1e-9 <= interval.low <= interval.high <= max(values) + 1e-9


def test_one_seed_or_equal_seeds_leave_the_interval_over_patients():
    values, groups = np.random.default_rng(4).random((30, 2)), [f"p{i // 3}" for i in range(30)]
    assert crossed_intervals(values[None], groups) == mean_intervals(values, groups)
    for twice, once in zip(
        crossed_intervals([values, values], groups), mean_intervals(values, groups), strict=True
    ):
        assert (twice.mean, twice.low, twice.high) == pytest.approx((once.mean, once.low, once.high))


def test_seeds_that_differ_widen_the_interval():
    interval = crossed_intervals(np.array([0.0, 1.0])[:, None, None] * np.ones((2, 6, 1)), list("aabbcc"))[0]
    assert (interval.low, interval.mean, interval.high) == (0.0, 0.5, 1.0)


def test_seeds_and_patients_are_drawn_each_on_their_own():
    rng = np.random.default_rng(5)
    values = rng.normal(size=(20, 1, 1)) + rng.normal(size=(1, 80, 1))
    interval = crossed_intervals(values, [str(i) for i in range(80)])[0]
    spread = 1.96 * np.sqrt(values[:, 0].var() / 20 + values[0].var() / 80)
    assert interval.high - interval.low == pytest.approx(2 * spread, rel=0.1)
