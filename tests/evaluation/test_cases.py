from __future__ import annotations

import csv
import io

import numpy as np
import pytest

from framework.core.storage import Store
from framework.evaluation.cases import case_rows, schema, summarise, write_cases

CLASSES = ["background", "ring", "disc"]


def rows_of(
    case: str, group: str, truth: np.ndarray, predicted: np.ndarray, predictor: str = "both"
) -> list[dict]:
    return case_rows(
        predictor, case, group, planes(truth), planes(predicted), truth == 255, CLASSES, (1.5, 1.5)
    )


def planes(ids: np.ndarray) -> np.ndarray:
    return np.stack([ids == 1, ids == 2])


def mask() -> np.ndarray:
    ids = np.zeros((8, 8), np.uint8)
    ids[1:4, 1:4], ids[5:, 5:] = 1, 2
    return ids


@pytest.fixture
def table(tmp_path):
    forgetful = np.where(mask() == 2, 0, mask())
    rows = rows_of("a", "p1", mask(), mask()) + rows_of("b", "p2", mask(), forgetful)
    return write_cases(Store.at(tmp_path), rows)


def test_one_row_per_foreground_class():
    rows = rows_of("a", "p1", mask(), mask())
    assert [row["class"] for row in rows] == ["ring", "disc"]
    assert [(row["dice"], row["truth"], row["state"]) for row in rows] == [(1.0, 9, "both"), (1.0, 9, "both")]


def test_ignored_pixels_do_not_count():
    truth = mask()
    truth[5:, 5:] = 255
    assert [row["state"] for row in rows_of("a", "p1", truth, mask())] == ["both", "absent"]


def test_volumes_use_their_spacing():
    truth = np.zeros((3, 4, 4), np.uint8)
    truth[1] = 1
    nothing = np.zeros_like(truth, bool)
    row = case_rows("both", "v", "p", truth[None] == 1, nothing[None], nothing, CLASSES[:2], (10, 1, 1))[0]
    assert row["state"] == "missed" and row["hd95"] == pytest.approx(np.sqrt(30**2 + 4**2 + 4**2))


def test_files(table, tmp_path):
    store = Store.at(tmp_path)
    assert store.read_table("cases.parquet").equals(table) and table.schema == schema()
    lines = list(csv.DictReader(io.StringIO(store.read_text("cases.csv"))))
    assert list(lines[0]) == table.schema.names and len(lines) == 4
    assert lines[3]["state"] == "missed" and float(lines[3]["dice"]) == 0


def test_summary_counts_the_miss(table):
    summary = summarise(table, CLASSES, split="test", unit="mm", dimension=2)
    both = summary["predictors"]["both"]
    assert summary["cases"] == 2 and summary["unit"] == "mm" and "groups" in summary["interval"]
    assert both["ring"]["dice"] == {"mean": 1.0, "low": 1.0, "high": 1.0}
    assert both["disc"]["dice"]["mean"] == 0.5 and both["disc"]["hd95"]["mean"] == pytest.approx(
        6 * np.sqrt(2)
    )
    assert both["mean"]["dice"]["mean"] == 0.75
    assert 0.5 <= both["mean"]["dice"]["low"] < both["mean"]["dice"]["high"] <= 1


def test_predictors_are_summarised_apart(tmp_path):
    rows = rows_of("a", "p1", mask(), mask(), "both") + rows_of(
        "a", "p1", mask(), np.zeros_like(mask()), "network 1"
    )
    summary = summarise(write_cases(Store.at(tmp_path), rows), CLASSES, split="val", unit="px", dimension=2)
    means = {name: scores["mean"]["dice"]["mean"] for name, scores in summary["predictors"].items()}
    assert means == {"both": 1.0, "network 1": 0.0} and summary["cases"] == 1


def test_images_of_one_patient_are_one_group(tmp_path):
    forgetful = np.where(mask() == 2, 0, mask())
    cases = [("a", mask()), ("b", forgetful), ("c", mask()), ("d", forgetful)]
    rows = [row for case, predicted in cases for row in rows_of(case, "p1", mask(), predicted)]
    described = summarise(write_cases(Store.at(tmp_path), rows), CLASSES, split="val", unit="px", dimension=2)
    assert (described["cases"], described["groups"]) == (4, 1)
    disc = described["predictors"]["both"]["disc"]["dice"]
    assert disc["low"] == disc["mean"] == disc["high"] == 0.5
