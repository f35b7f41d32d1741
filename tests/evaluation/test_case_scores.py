"""A score that nobody can have for finding nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framework.evaluation.case_scores import CaseScores
from framework.evaluation.cases import case_rows, schema
from framework.evaluation.notices import differ, disagreement, notices
from framework.metrics.registry import METRICS

CLASSES = ["background", "lesion", "organ"]
CASES = {f"c{i}": f"p{i // 2}" for i in range(12)}
DICE: Any = METRICS["dice"]


def plane(there: bool) -> np.ndarray:
    pixels = np.zeros((8, 8), bool)
    pixels[2:5, 2:5] = there
    return pixels


def table(lesion: list[tuple[bool, bool]]) -> pa.Table:
    """Cases whose organ is found, and whose lesion is there and found as is said, (truth, predicted)."""
    rows = []
    for (case, group), (there, found) in zip(CASES.items(), lesion, strict=True):
        truth, predicted = (np.stack([plane(lesion), plane(True)]) for lesion in (there, found))
        rows += case_rows("one", case, group, truth, predicted, ~plane(False) & False, CLASSES)
    return pa.Table.from_pylist(rows, schema=schema())


def scores(*seeds: list[tuple[bool, bool]]) -> CaseScores:
    return CaseScores.of([table(seed) for seed in seeds], CASES, CLASSES[1:])


SILENT = [(i < 3, False) for i in range(12)]
"""The lesion is in three of twelve cases, and nothing is found."""


def test_silence_earns_nothing_but_in_the_mean_over_all_cases() -> None:
    entry = scores(SILENT).structures()["lesion"]
    assert entry["dice"]["mean"] == entry["iou"]["mean"] == 0 and entry["dice"]["missed"] == 3
    assert entry["found"] == [0, 3] and entry["false_alarms"] == [0, 9]
    assert entry["all_cases"]["dice"]["mean"] == 0.75 and entry["all_cases"]["hd95"]["mean"] > 0


def test_a_false_alarm_is_counted_and_lowers_no_headline() -> None:
    found = [(i < 3, i < 7) for i in range(12)]
    entry = scores(found).structures()["lesion"]
    assert entry["dice"]["mean"] == 1 and "missed" not in entry["dice"] and entry["false_alarms"] == [4, 9]
    assert entry["all_cases"]["dice"]["mean"] == pytest.approx(8 / 12)


def test_the_mean_over_classes_is_of_their_means() -> None:
    structures = scores(SILENT).structures()
    assert structures["organ"]["dice"]["mean"] == 1 and structures["mean"]["dice"]["mean"] == 0.5
    assert structures["mean"]["found"] == [12, 15] and structures["organ"]["false_alarms"] == [0, 0]


def test_a_class_that_no_case_has_has_no_score() -> None:
    structures = scores([(False, False)] * 12).structures()
    assert structures["lesion"]["dice"] is None and structures["mean"]["dice"]["mean"] == 1


def test_what_silence_scores_is_the_reference() -> None:
    one = scores([(i < 3, True) for i in range(12)])
    reference = one.of_silence().structures()["lesion"]
    assert one.clean and reference["dice"]["mean"] == 0 and reference["found"] == [0, 3]
    assert reference["all_cases"]["dice"]["mean"] == 0.75 and "hd95" not in reference
    assert not scores([(True, True)] * 12).clean


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=12, max_size=12))
def test_finding_nothing_is_never_better_than_finding_something(lesion: list[tuple[bool, bool]]) -> None:
    found, silent = (
        scores(cases).structures()["lesion"]["dice"] for cases in (lesion, [(t, False) for t, _ in lesion])
    )
    assert (found is None) == (silent is None) == (not any(there for there, _ in lesion))
    assert found is None or silent["mean"] == 0 <= found["mean"]


def test_a_difference_is_over_the_same_fixed_cases() -> None:
    """An alarm in a case without the lesion changes neither the mean nor the difference."""
    one = scores([(i < 4, i < 4) for i in range(12)])
    other = scores([(i < 4, i < 8 and i != 0) for i in range(12)])
    assert one.difference(other, DICE).values[0, 0] == pytest.approx((1 - 3 / 4) / 2)
    assert one.difference(one, DICE).intervals()[0].mean == 0  # type: ignore[union-attr]


def test_counts_are_over_cases_and_seeds() -> None:
    entry = scores(SILENT, [(i < 3, i < 2) for i in range(12)]).structures()["lesion"]
    assert entry["found"] == [2, 6] and entry["false_alarms"] == [0, 18]
    assert entry["dice"]["mean"] == pytest.approx(1 / 3)


def summary(structures: dict[str, Any], split: str = "test") -> dict[str, Any]:
    return {"predictors": {"network 1": structures}, "groups": 6, "cases": 12, "split": split}


def test_what_is_not_found_or_falsely_claimed_or_rare_is_told() -> None:
    said = notices(summary(scores(SILENT).structures()))
    assert said == [
        "network 1 does not find lesion: it marks it in 0 of the 3 cases that have it.",
        "Too few cases to tell much: lesion (3).",
    ]
    often = [(i < 3, i < 10) for i in range(12)]
    assert "network 1 marks lesion in 7 of the 9 cases that do not have it." in notices(
        summary(scores(often).structures())
    )
    assert notices(summary(scores([(False, False)] * 12).structures())) == [
        "No case has lesion: it has no score.",
        "Too few patients to tell much: 6.",
    ]


def test_splits_that_differ_by_more_than_chance_are_told() -> None:
    high, near = ({"mean": m, "low": m - 0.1, "high": m + 0.1} for m in (0.8, 0.75))
    low = {"mean": 0.5, "low": 0.4, "high": 0.6}
    assert differ(high, low) and not differ(high, near)
    one, other = (summary({"mean": {"dice": ends}}, split) for ends, split in ((low, "test"), (high, "val")))
    assert list(disagreement("m", one, other)) == [
        "m (network 1): Dice is 0.500 on test and 0.800 on val, which differ by more than chance."
    ]
    assert not list(disagreement("m", one, one))
