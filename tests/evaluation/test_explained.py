"""What a model explains itself by, from its evaluation into the report."""

from __future__ import annotations

from pathlib import Path

import torch

from framework.core.labels import IGNORE
from framework.core.storage import Store
from framework.evaluation.evaluate import evaluate
from framework.methods.collaborative.pseudo_masks import flattened
from framework.reporting.report import write_report
from framework.training.run import train
from tests.contract.support import build_phantom, tiny_run

GRADES = ("none", "mild", "moderate", "severe", "very severe")


def test_planes_are_flattened_with_what_is_there_over_what_is_unsaid() -> None:
    planes = torch.tensor([[[[1, 0, IGNORE, 0]], [[IGNORE, 1, IGNORE, 0]]]])
    assert flattened(planes).tolist() == [[[1, 2, IGNORE, 0]]]


def test_an_evaluation_draws_the_attention_of_every_lesion_and_the_report_shows_it(tmp_path: Path) -> None:
    corpus = build_phantom(tmp_path / "corpus")
    model, out = train(tiny_run(corpus, "collaborative", tmp_path)), Store.at(tmp_path / "scores")
    summary = evaluate(model, corpus, out)
    assert set(summary) >= {"predictors", "pooled", "targets"}
    shown = out.read_json("explained.json")
    assert shown["columns"][0] == "image" and shown["columns"][-3:] == ["pseudo mask", "prediction", "truth"]
    assert sum(column.startswith("attention: ") for column in shown["columns"]) == 4
    assert 0 < len(shown["pictures"]) <= 4 and all(out.exists(entry["file"]) for entry in shown["pictures"])
    classes = [each for entry in shown["pictures"] for each in entry["predictions"]]
    assert classes and all(each["prediction"] in GRADES and each["truth"] in GRADES for each in classes)
    insides = [entry["inside"] for entry in shown["pictures"]]
    assert all(column.startswith("attention: ") for inside in insides for column in inside)
    assert any(insides) and all(0 <= share <= 1 for inside in insides for share in inside.values())
    page = Path(write_report([model, out], str(tmp_path / "report.html"))).read_text()
    assert "What the model sees" in page and "attention: haemorrhage" in page and "% inside" in page
