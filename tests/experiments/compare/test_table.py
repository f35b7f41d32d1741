from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framework.experiments.compare.pictures import choose, mean_scores
from framework.experiments.compare.table import (
    case_rows,
    compared,
    mean_curve,
    predictor_scores,
    seconds_to,
)
from framework.experiments.compare.text import csv_text, markdown, time_to_target
from framework.reporting.comparison_page import median_seconds
from tests.experiments.compare.support import CLASSES, case_table, comparison_artifact, log_of, seed_run

GROUPS = {f"eye-{i}": f"p{i // 2}" for i in range(8)}
BASE = np.random.default_rng(0).uniform(0.1, 0.6, (8, 2))


def rows_of(control: dict, other: dict) -> dict[tuple[str, str], dict]:
    """Rows of a control and another recipe with two seeds, by recipe and predictor."""
    scores = [s for name, values in (("control", control), ("other", other)) for s in scores_of(name, values)]
    return {(row["recipe"], row["predictor"]): row["scores"]["dice"] for row in case_rows(scores, "control")}


def scores_of(name: str, dice: dict) -> list:
    """The second seed is 0.1 above the first."""
    tables = [case_table({key: values + shift for key, values in dice.items()}) for shift in (0, 0.1)]
    return predictor_scores(name, tables, GROUPS, CLASSES)


def test_a_difference_that_is_the_same_in_every_case_has_no_spread() -> None:
    rows = rows_of({"network 1": BASE}, {"network 1": BASE + 0.2})
    row = rows["other", "network 1"]
    difference, dice = row["difference"], row["classes"]["mean"]
    assert [difference["mean"], difference["low"], difference["high"]] == pytest.approx([0.2] * 3)
    assert dice["high"] - dice["low"] > 0.05
    assert rows["control", "network 1"]["difference"] is None


def test_means_are_those_of_classes_cases_and_seeds() -> None:
    row = rows_of({"network 1": BASE}, {"network 1": BASE})["control", "network 1"]
    assert row["classes"]["ring"]["mean"] == pytest.approx(BASE[:, 1].mean() + 0.05)
    assert row["classes"]["mean"]["mean"] == pytest.approx(BASE.mean() + 0.05)
    assert row["by_seed"] == pytest.approx([BASE.mean(), BASE.mean() + 0.1])


def test_a_predictor_is_held_against_its_namesake_or_the_first() -> None:
    control = {"both": BASE + 0.3, "network 1": BASE}
    rows = rows_of(control, {"network 1": BASE + 0.1, "third": BASE + 0.1})
    namesake, other = (rows["other", name]["difference"] for name in ("network 1", "third"))
    assert namesake["against"] == "network 1" and namesake["mean"] == pytest.approx(0.1)
    assert other["against"] == "both" and other["mean"] == pytest.approx(-0.2)


@settings(max_examples=20, deadline=None)
@given(st.permutations(range(16)))
def test_the_order_of_a_table_does_not_matter(order: list[int]) -> None:
    table = case_table({"network 1": BASE})
    [entry] = predictor_scores("one", [table.take(order)], GROUPS, CLASSES)
    assert np.allclose(entry.scores.values["dice"][0], BASE) and entry.scores.groups == list(GROUPS.values())


def test_time_to_a_target() -> None:
    log = log_of((4, 0.3), (8, 0.5), (12, 0.9), seconds=2.0)
    assert seconds_to(log, 0.5) == 16.0
    assert seconds_to(log, 0.51) == 24.0
    assert seconds_to(log, 0.2) == 8.0
    assert seconds_to(log, 0.91) is None
    assert seconds_to([], 0.1) is None


def test_a_seed_that_does_not_reach_the_target_counts_as_infinitely_long() -> None:
    assert median_seconds([10.0, 30.0, None]) == 30.0
    assert median_seconds([10.0, None, None]) is None
    assert time_to_target([10.0, 30.0, None]) == "30 s (2 of 3 seeds)"
    assert time_to_target([10.0, None, None]) == "not reached (1 of 3 seeds)"
    assert time_to_target([None]) == "not reached" and time_to_target([1234.0]) == "1,234 s"


def test_a_curve_is_the_mean_where_all_seeds_were_validated() -> None:
    assert mean_curve([log_of((4, 0.2), (8, 0.4)), log_of((8, 0.6))]) == [(8, pytest.approx(0.5))]
    assert mean_curve([log_of()]) == []


def test_costs(tmp_path: Path) -> None:
    dice = {"network 1": BASE}
    members = [
        seed_run(tmp_path, "one", 0, dice, log_of((4, 0.9), seconds=0.1), memory=None),
        seed_run(tmp_path, "one", 1, dice, log_of((9, 0.2), seconds=0.3), memory=150),
        seed_run(tmp_path, "old", 0, dice, memory=None),
        seed_run(tmp_path, "old", 1, dice, memory=None),
    ]
    comparison = compared(members, "old", 0.8)
    one, old = comparison["rows"]
    assert one["seconds_per_step"] == pytest.approx(0.3) and one["peak_memory_mb"] == 150
    assert one["target_seconds"] == [pytest.approx(0.4), None]
    assert old["peak_memory_mb"] is None and old["parameters"] == 1234567
    assert (
        comparison["cases"] == 8
        and comparison["groups"] == 4
        and comparison["corpus"] == "eyes"
        and comparison["seeds"] == [0, 1]
    )
    assert compared(members, "old", None)["rows"][0]["target_seconds"] is None


def test_markdown_has_a_cell_for_every_head(tmp_path: Path) -> None:
    store = comparison_artifact(tmp_path)
    lines = store.read_text("table.md").strip().splitlines()
    assert lines[0] == "* By Dice, pair is better than plain <b>."
    start = lines.index("") + 1
    lines = lines[start:]
    assert lines[0].startswith("Dice [95 % interval] over those of 6 cases that have the structure of val")
    assert len({line.count("|") for line in lines[2:]}) == 1 and len(lines) == 2 + 2 + 3
    assert "| plain <b> | network 1 |" in lines[4] and "| – |" in lines[4] and "(12 of 12)" in lines[4]
    assert "time to 0.45" in lines[2] and "not reached (1 of 2 seeds)" in lines[4]
    without = store.read_json("table.json") | {"target_dice": None}
    for row in without["rows"]:
        row["target_seconds"] = row["peak_memory_mb"] = None
    assert "time to" not in markdown(without) and markdown(without).strip().endswith("| – |")


def test_csv_holds_the_numbers_of_the_table(tmp_path: Path) -> None:
    comparison = comparison_artifact(tmp_path).read_json("table.json")
    read = list(csv.DictReader(io.StringIO(csv_text(comparison))))
    assert [row["recipe"] for row in read] == ["plain <b>", "pair", "pair"]
    for row, stored in zip(read, comparison["rows"], strict=True):
        assert float(row["dice ring low"]) == stored["scores"]["dice"]["classes"]["ring"]["low"]
        assert float(row["dice"]) == stored["scores"]["dice"]["classes"]["mean"]["mean"]
    assert read[0]["difference"] == "" and float(read[2]["difference"]) == pytest.approx(0.01)
    assert read[0]["seconds to target"] == "" and float(read[1]["seconds to target"]) == 2.0


def test_the_shown_cases_are_the_controls_worst_median_and_best() -> None:
    dice = mean_scores(case_table({"both": BASE, "network 1": 1 - BASE}))
    ranked = np.argsort(BASE.mean(1))
    chosen = choose(dice)
    assert chosen == {"worst": f"eye-{ranked[0]}", "median": f"eye-{ranked[4]}", "best": f"eye-{ranked[7]}"}
    assert set(choose({"only": 0.5}).values()) == {"only"}


def test_cases_without_structure_are_not_shown() -> None:
    table = case_table({"network 1": BASE})
    at = table.schema.get_field_index("truth")
    half = table.set_column(at, "truth", pa.array([0] * 8 + [3] * 8))
    assert set(mean_scores(half)) == {"eye-4", "eye-5", "eye-6", "eye-7"}
    assert choose(mean_scores(table.set_column(at, "truth", pa.array([0] * 16)))) == {}


def test_a_table_without_a_case_is_not_averaged_over() -> None:
    with pytest.raises(AssertionError, match="lacks a case"):
        predictor_scores("one", [case_table({"network 1": BASE[:7]})], GROUPS, CLASSES)
