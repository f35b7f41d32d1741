"""Better, worse, or not to be told apart; and how much more it would take."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from framework.experiments.compare.table import compared
from framework.experiments.compare.text import markdown
from framework.experiments.compare.verdict import difference_row, disagreement
from framework.metrics.bootstrap import means
from tests.experiments.compare.support import seed_run

BASE = np.random.default_rng(0).uniform(0.3, 0.6, (12, 2))


def table_of(root: Path, shifts: dict[str, np.ndarray | float], seeds: int = 3) -> dict:
    runs = [
        seed_run(root, name, seed, {"network 1": BASE + shift})
        for name, shift in shifts.items()
        for seed in range(seeds)
    ]
    return compared(runs, "control", None)


def test_the_first_sentence_is_a_verdict(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).normal(0.01, 0.1, BASE.shape)
    table = table_of(tmp_path, {"control": 0.0, "up": 0.2, "also": 0.1, "down": -0.2, "alike": noise})
    [verdict] = table["verdicts"]
    assert verdict["sentence"] == (
        "By Dice, up and also are better than control; down is worse than control; "
        "alike is not to be told apart from control."
    )
    [detail] = verdict["details"]
    assert detail.startswith("alike: +0.0") and "patients (6 now)" in detail
    assert markdown(table).startswith(f"* {verdict['sentence']}\n* {detail}\n")


def test_with_so_many_patients_the_difference_is_told() -> None:
    """Over as many patients like these the interval leaves out zero about as often as not."""
    rng, told = np.random.default_rng(2), 0
    change = rng.normal(0.02, 0.1, (1, 40, 1))
    row = difference_row(means(change, [str(i) for i in range(40)]), 40)
    assert row is not None and row["low"] < 0 < row["high"] and row["seeds"] is None
    more = row["patients"]
    for _ in range(40):
        drawn = change[:, rng.integers(0, 40, more)]
        [interval] = means(drawn, [str(i) for i in range(more)]).intervals()
        assert interval is not None
        told += interval.low > 0
    assert 10 <= told <= 30


def test_seeds_that_differ_ask_for_seeds() -> None:
    change = np.array([-0.1, 0.05, 0.11])[:, None, None] + np.zeros((3, 30, 1))
    row = difference_row(means(change, [str(i) for i in range(30)]), 30)
    assert row is not None and row["patients"] is None and row["seeds"] > 3


def test_no_difference_is_not_told_by_any_number() -> None:
    row = difference_row(means(np.array([[[-0.1], [0.1], [0.1], [-0.1]]]), list("abcd")), 4)
    assert row is not None and row["patients"] is None and row["seeds"] is None


@pytest.mark.parametrize(("seeds", "said"), [(1, "1 seed: how much trainings differ"), (2, "2 seeds: two")])
def test_few_seeds_are_told(tmp_path: Path, seeds: int, said: str) -> None:
    notices = table_of(tmp_path, {"control": 0.0, "up": 0.2}, seeds)["notices"]
    assert any(line.startswith(said) for line in notices)
    assert not any("seed" in line for line in table_of(tmp_path / "3", {"control": 0.0})["notices"])


def test_rows_of_two_splits_that_disagree_are_told(tmp_path: Path) -> None:
    here = table_of(tmp_path / "test", {"control": 0.0, "up": 0.01})
    there = table_of(tmp_path / "val", {"control": 0.4, "up": 0.0, "new": 0.0})
    [said] = disagreement(here, there | {"split": "elsewhere"})
    assert said.startswith("control (network 1): Dice is 0.4") and "elsewhere" in said
