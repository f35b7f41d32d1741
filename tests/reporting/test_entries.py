"""What a report says of artifacts, without the page that shows it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from framework.core.artifact import ArtifactSpec, Input, finish
from framework.core.storage import Store
from framework.evaluation.cases import write_cases
from framework.reporting.lineage_verdict import verdicts
from framework.reporting.page import environment
from framework.reporting.report import told, validation_points
from framework.reporting.sources import Artifact, Parent, gather


def model(folder: Path, name: str, *parents: Artifact) -> Artifact:
    made_from = tuple(Parent("model", parent.name, "", parent) for parent in parents)
    return Artifact(Store.at(folder / name), name, "model", name, {}, {}, made_from)


def evaluation(of: Artifact, gain: float, spread: float = 0.0, split: str = "test") -> Artifact:
    """Ten cases with a structure, whose Dice are 0.05 apart; `gain` is added to all, `spread` to every
    second."""
    store = Store.at(f"{of.store.url}-{split}")
    rows = [
        {"predictor": "both", "case": f"c{i}", "group": f"p{i}", "class": "disc", "truth": 9, "predicted": 9}
        | {"dice": 0.05 * i + gain + spread * (-1) ** i, "state": "both"}
        for i in range(10)
    ]
    write_cases(store, rows)
    store.write_json("summary.json", {"split": split, "cases": 6})
    finish(store, ArtifactSpec("evaluation", {}, {}), {}, 0.0)
    parents = (Parent("model", of.name, "", of), Parent("corpus", "corpus", "version", None))
    return Artifact(store, store.url, "evaluation", store.name, {}, {}, parents)


@pytest.fixture
def chain(tmp_path: Path) -> tuple[Artifact, Artifact]:
    """A model, and one that learnt from its pseudo-labels."""
    first = model(tmp_path, "baseline")
    layer = model(tmp_path, "pseudo", first)
    return first, model(tmp_path, "retrained", layer)


def test_a_model_is_held_against_those_that_it_goes_back_to_at_any_remove(
    chain: tuple[Artifact, Artifact],
) -> None:
    first, later = chain
    for gain, how in ((0.2, "better than"), (-0.2, "worse than")):
        (sentence,) = verdicts([evaluation(first, 0.3), evaluation(later, 0.3 + gain)])
        assert sentence.startswith(f"retrained is {how} baseline: Dice {gain:+.3f} [")


def test_what_may_be_chance_is_no_verdict(chain: tuple[Artifact, Artifact]) -> None:
    first, later = chain
    (sentence,) = verdicts([evaluation(first, 0.3), evaluation(later, 0.32, spread=0.2)])
    assert sentence.startswith("retrained is not to be told apart from baseline: Dice +0.020 [")


def test_scores_of_two_splits_are_not_held_against_each_other(chain: tuple[Artifact, Artifact]) -> None:
    first, later = chain
    assert list(verdicts([evaluation(first, 0.3, split="val"), evaluation(later, 0.5)])) == []


def test_what_must_not_be_overlooked_is_told() -> None:
    structures = {"disc": {"found": [0, 12], "false_alarms": [0, 0]}}
    summary = {"predictors": {"both": structures}, "groups": 12}
    (line,) = told([{"name": "scores", "summary": summary, "model_key": None}])
    assert line == "scores: both does not find disc: it marks it in 0 of the 12 cases that have it."


def test_a_curve_is_of_one_metric() -> None:
    scores = [("dice", 0.5), ("auc", 0.9), ("dice", 0.6)]
    log = [{"step": i, "validation": {"metric": key, "mean": mean}} for i, (key, mean) in enumerate(scores)]
    assert validation_points(log, "dice") == [(0, 0.5), (2, 0.6)]


def test_names_are_text() -> None:
    assert environment().from_string("{{ name }}").render(name="<b>&") == "&lt;b&gt;&amp;"


def test_an_input_is_known_by_its_hash_and_not_by_its_place(tmp_path: Path) -> None:
    first, second = Store.at(tmp_path / "first"), Store.at(tmp_path / "second")
    spec = ArtifactSpec("model", {}, {})
    finish(first, spec, {}, 0.0)
    for made_from, known in ((spec.hash, True), ("of an earlier one", False)):
        finish(second, ArtifactSpec("evaluation", {"model": Input(first.url, made_from)}, {}), {}, 0.0)
        found: dict[str, Any] = {artifact.name: artifact for artifact in gather([first, second])}
        assert (found["second"].parent("model").artifact is not None) is known
