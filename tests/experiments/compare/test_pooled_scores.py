"""Scores of a comparison beside Dice."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pytest

from framework.core.storage import Store
from framework.evaluation.text import headline
from framework.experiments.compare.pooled_scores import pooled_rows, recipe_scores
from framework.experiments.compare.table import compared
from framework.experiments.compare.text import csv_text, markdown
from framework.reporting.comparison_page import comparison_entry
from framework.reporting.report import write_report
from framework.reporting.sources import gather
from tests.experiments.compare.support import add_lesions, add_predictions, artifact_of, classifier, seed_run

DICE = {"network 1": np.random.default_rng(0).uniform(0.1, 0.6, (8, 2))}


def finding(root: Path, recipe: str, skill: float, seeds: int = 2) -> list:
    """Members with masks of lesions that may overlap."""
    runs = [seed_run(root, recipe, seed, DICE) for seed in range(seeds)]
    for seed, made in enumerate(runs):
        add_lesions(made.evaluation, seed, skill)
    return runs


def test_with_one_seed_a_figure_is_that_of_its_evaluation(tmp_path: Path) -> None:
    (made,) = finding(tmp_path, "one", 0.2, seeds=1)
    add_predictions(made.evaluation, 0, 0.3)
    row_of = pooled_rows({"one": recipe_scores([made.evaluation])}, "one")["one"]
    summary = made.evaluation.read_json("summary.json")
    expected = {
        "AUPR": summary["pooled"]["mean"]["aupr"],
        "grade AUC": summary["targets"]["grade"]["auc"],
        "grade kappa": summary["targets"]["grade"]["kappa"],
    }
    assert list(row_of) == list(expected)
    for name, row in row_of.items():
        assert {key: row[key] for key in ("mean", "low", "high")} == pytest.approx(expected[name])
        assert row["difference"] is None
    assert (row_of["AUPR"]["images"], row_of["grade AUC"]["images"]) == (8, 12)


def test_a_difference_is_paired(tmp_path: Path) -> None:
    names = {"control": 0.1, "same": 0.1, "better": 0.6}
    table = compared(
        [m for name, skill in names.items() for m in finding(tmp_path, name, skill)], "control", None
    )
    control, same, better = (row["pooled"]["AUPR"] for row in table["rows"])
    assert control["difference"] is None
    assert same["difference"] == {"mean": 0, "low": 0, "high": 0, "patients": None, "seeds": None}
    difference = better["difference"]
    assert (
        difference["mean"] == pytest.approx(better["mean"] - control["mean"])
        and 0 < difference["low"] < difference["high"]
    )
    assert better["mean"] == pytest.approx(np.mean(better["by_seed"])) and len(better["by_seed"]) == 2


def test_figures_of_different_questions_have_no_difference(tmp_path: Path) -> None:
    made = [classifier(tmp_path, name, 0, 0.3) for name in ("one", "other")]
    summary = made[1].evaluation.read_json("summary.json")
    summary["targets"]["grade"]["classes"] = ["none", "mild", "severe"]
    made[1].evaluation.write_json("summary.json", summary)
    rows = pooled_rows({m.recipe: recipe_scores([m.evaluation]) for m in made}, "one")
    assert rows["other"]["grade AUC"]["difference"] is None


@pytest.fixture
def mixed(tmp_path: Path) -> Store:
    """Masks alone, masks with lesions and answers, and answers alone; two seeds."""
    plain = [seed_run(tmp_path, "plain", seed, DICE | {"network 2": DICE["network 1"]}) for seed in (0, 1)]
    both = finding(tmp_path, "both", 0.3)
    for seed, made in enumerate(both):
        add_predictions(made.evaluation, seed, 0.5)
    return artifact_of(
        tmp_path, [*plain, *both, *(classifier(tmp_path, "answers", seed, 0.2) for seed in (0, 1))], "answers"
    )


def test_a_row_lacks_what_its_recipe_does_not_do(mixed: Store) -> None:
    table = mixed.read_json("table.json")
    assert [(row["recipe"], row["predictor"]) for row in table["rows"]] == [
        ("plain", "network 1"),
        ("plain", "network 2"),
        ("both", "network 1"),
        ("answers", None),
    ]
    plain, _, both, answers = table["rows"]
    assert {name: score["images"] for name, score in table["pooled"].items()} == {
        "AUPR": 8,
        "grade AUC": 12,
        "grade kappa": 12,
    }
    assert plain["pooled"] == {} and plain["scores"]["dice"]["difference"] is None and plain["target_seconds"]
    assert (
        both["pooled"]["AUPR"]["difference"] is None and both["pooled"]["grade AUC"]["difference"]["mean"] > 0
    )
    assert answers["scores"] == {} and answers["target_seconds"] is None and "AUPR" not in answers["pooled"]


def test_the_texts_have_a_cell_for_every_head(mixed: Store) -> None:
    table = mixed.read_json("table.json")
    lines = markdown(table).strip().splitlines()
    assert lines[0] == "* By grade AUC, both is better than answers."
    lines = lines[lines.index("") + 1 :]
    having = "those of 8 cases that have the structure"
    assert lines[0].startswith(
        f"Dice [95 % interval] over {having}, AUPR [95 % interval] over 8 images, grade"
    )
    assert len({line.count("|") for line in lines[2:]}) == 1 and len(lines) == 2 + 2 + 4
    assert "| AUPR | AUPR against answers | grade AUC | grade AUC against answers |" in lines[2]
    assert "| answers | – | – | – | – | – | – | – | 0." in lines[-1]
    read = list(csv.DictReader(io.StringIO(csv_text(table))))
    assert read[3]["dice"] == read[0]["AUPR"] == "" and read[3]["predictor"] == ""
    assert (
        float(read[2]["grade AUC difference low"])
        == table["rows"][2]["pooled"]["grade AUC"]["difference"]["low"]
    )


def test_the_page_shows_both_tables_and_a_curve_of_each_score(mixed: Store, tmp_path: Path) -> None:
    page = Path(write_report([mixed], tmp_path / "r.html")).read_text()
    assert 'id="table"' in page and 'id="pooled"' in page and 'id="side-by-side"' not in page
    (artifact,) = gather([mixed])
    entry = comparison_entry(artifact)
    assert [chart.title for _, chart in entry["charts"]] == ["Validation Dice", "Validation AUC"]
    assert [line.series.name for line in entry["charts"][1][1].lines] == ["answers"]
    assert "grade AUC, 12 images" in page and "AUPR, 8 images" in page


def test_answers_alone_are_compared_without_dice(tmp_path: Path) -> None:
    members = [
        classifier(tmp_path, name, seed, skill)
        for name, skill in (("weak", 0.1), ("strong", 0.6))
        for seed in (0, 1)
    ]
    store = artifact_of(tmp_path, members, "weak")
    table = store.read_json("table.json")
    assert (table["cases"], table["groups"], table["classes"]) == (12, 6, [])
    assert "Dice" not in markdown(table) and "dice" not in csv_text(table)
    assert "\n\ngrade AUC [95 % interval] over 12 images, grade kappa" in markdown(table)
    page = Path(write_report([store], tmp_path / "r.html")).read_text()
    assert 'id="table"' not in page and 'id="pooled"' in page and "highest mean Dice" not in page


def test_the_headline_of_an_evaluation_names_what_it_has(tmp_path: Path) -> None:
    (made,) = finding(tmp_path, "one", 0.2, seeds=1)
    add_predictions(made.evaluation, 0, 0.3)
    scores = made.evaluation.read_json("summary.json") | {"cases": 8}
    assert headline(scores).startswith("AUPR 0.") and ", grade AUC 0." in headline(scores)
    scores["predictors"] = {"both": {"mean": {"dice": {"mean": 0.5}, "found": [7, 8]}}}
    assert (
        headline({"split": "val", "cases": 8, "predictors": scores["predictors"]})
        == "Dice 0.500 (both, found 7 of 8) over 8 cases of val"
    )
