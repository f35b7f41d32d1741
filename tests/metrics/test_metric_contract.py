"""A metric of each scope, of ten to thirty lines, is seen everywhere once the registry knows it."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console
from torch import Tensor

from framework.core.errors import ConfigError
from framework.core.plugins import by_name
from framework.core.storage import Store
from framework.evaluation.evaluate import evaluate
from framework.evaluation.text import score_lines, score_tables
from framework.experiments.compare.table import SeedRun, compared
from framework.experiments.compare.text import csv_text, markdown
from framework.metrics.base import ImageMetric, Number, Numbers, OverlapMetric, PooledMetric, Predictions
from framework.metrics.registry import METRICS, metrics_of
from framework.reporting.report import write_report
from framework.training.metric_log import read
from framework.training.run import train
from tests.contract.support import build_phantom, tiny_run


class Sensitivity(OverlapMetric):
    key, name, compared = "sensitivity", "Sensitivity", True

    def from_sizes(self, overlap: Number, predicted: Number, truth: Number) -> Number:
        return overlap / truth


class FalseShare(PooledMetric):
    """The share of what is claimed that is wrong."""

    key, name, compared, larger_is_better, shape = "false_share", "False share", True, False, (2,)
    about = "False share: of the pixels that are claimed."

    def update(self, probability: Tensor, truth: Tensor, known: Tensor) -> Tensor:
        claimed = (probability > 0.01) & known
        return torch.stack([(claimed & ~truth).flatten(1).sum(1), claimed.flatten(1).sum(1)], 1)

    def compute(self, sums: Numbers) -> Numbers:
        with np.errstate(invalid="ignore"):
            return sums[..., 0] / sums[..., 1]


class Confidence(ImageMetric):
    """The mean probability of the true class."""

    key, name, decimals = "confidence", "Confidence", 4

    def compute(self, predictions: Predictions) -> Numbers:
        chosen = predictions.probability[np.arange(len(predictions.truth)), predictions.truth]
        return predictions.weight @ chosen / predictions.weight.sum(1)


NEW = [Sensitivity, FalseShare, Confidence]


@pytest.fixture(scope="module")
def registry() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for metric in NEW:
            patch.setitem(METRICS, metric.key, metric())
        yield


@pytest.fixture(scope="module")
def model(registry: None, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A method of masks that may overlap and of grades: all three scopes."""
    folder = tmp_path_factory.mktemp("metrics")
    return train(tiny_run(build_phantom(folder / "corpus"), "collaborative", folder))


@pytest.fixture(scope="module")
def evaluation(model: Store) -> Store:
    out = Store(f"{model.url}-test")
    evaluate(model, f"{model.url.rpartition('/')[0]}/corpus", out)
    return out


def words(page: Path) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page.read_text())).split())


def test_tables_and_summary_hold_them(evaluation: Store) -> None:
    summary: dict[str, Any] = evaluation.read_json("summary.json")
    rows = evaluation.read_table("cases.parquet").to_pylist()
    assert (
        all(0 <= row["sensitivity"] <= 1 for row in rows if row["state"] != "absent")
        and "sensitivity" in evaluation.read_text("cases.csv").split("\n")[0]
    )
    [image, *_] = evaluation.read_table("pooled.parquet").to_pylist()
    assert len(image["false_share"]) == 2 and len(image["aupr"]) == 2000
    [scores] = summary["predictors"].values()
    assert {"mean", "low", "high"} <= set(scores["mean"]["sensitivity"]) <= {"mean", "low", "high", "missed"}
    assert summary["pooled"]["mean"]["false_share"]["mean"] <= 1
    assert 0 < summary["targets"]["grade"]["confidence"]["mean"] < 1


def test_terminal_and_log_show_them(
    evaluation: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    summary = evaluation.read_json("summary.json")
    Console().print(*score_tables(summary))
    said, lines = capsys.readouterr().out, list(score_lines(summary))
    assert all(metric.name in said and any(metric.name in line for line in lines) for metric in NEW)
    confidence = summary["targets"]["grade"]["confidence"]
    assert f"{confidence['mean']:.4f} [{confidence['low']:.4f}, {confidence['high']:.4f}]" in said


def test_validation_logs_what_sums_determine(model: Store) -> None:
    [*_, scores] = [record["validation"] for record in read(model) if "validation" in record]
    assert scores["metric"] == "aupr" and len(scores["false_share"]) == 4
    assert 0 < scores["confidence"]["grade"] < 1 and "sensitivity" not in scores


def test_the_report_shows_them(model: Store, evaluation: Store, tmp_path: Path) -> None:
    text = words(Path(write_report([model, evaluation], tmp_path / "r.html")))
    assert (
        "found false alarms 0 Dice 1 Dice mean [95 %]" in text
        and "ASD (px) mean [95 %] Sensitivity mean" in text
    )
    assert "AUPR mean [95 %] False share" in text and "kappa mean [95 %] Confidence" in text
    assert "False share: of the pixels that are claimed." in text


def test_a_comparison_shows_those_that_are_marked(model: Store, evaluation: Store, tmp_path: Path) -> None:
    table = compared([SeedRun(name, 0, model, evaluation) for name in ("one", "other")], "one", None)
    first = table["rows"][1]["scores"]
    assert first["sensitivity"]["difference"]["mean"] == 0 and table["metrics"] == ["dice", "sensitivity"]
    assert list(table["pooled"]) == ["AUPR", "False share", "grade AUC", "grade kappa"]
    [heads] = [line for line in markdown(table).splitlines() if line.startswith("| recipe")]
    assert "| Sensitivity | Sensitivity microaneurysm |" in heads and "Sensitivity against one" in heads
    assert "| Dice | Dice microaneurysm |" in heads and "| False share | False share against one |" in heads
    columns = csv_text(table).splitlines()[0].split(",")
    assert len(set(columns)) == len(columns) and {"sensitivity low", "Sensitivity difference"} <= set(columns)
    folder = Store.at(tmp_path / "c")
    folder.write_json("table.json", {"name": "c"} | table)
    folder.write_json("pictures.json", {"rule": "", "metric": "dice", "seed": 0, "cases": []})
    for name in ("one", "other"):
        folder.write_text(f"recipes/{name}.yaml", "")
    record = {"kind": "comparison", "name": "c", "hash": "h", "config_hash": "k", "inputs": {}}
    counts = {"cases": 6, "recipes": 2}
    folder.write_json("artifact.json", record | {"counts": counts, "seconds": 1.0, "finished": True})
    text = words(Path(write_report([folder], tmp_path / "c.html")))
    assert "Mean Sensitivity over classes" in text and "False share, 6 images" in text
    assert "Confidence" not in text


def test_two_metrics_of_one_key_are_refused() -> None:
    with pytest.raises(ConfigError, match="'sensitivity' names both"):
        by_name([Sensitivity, Sensitivity], lambda kind: kind.key)
    assert [metric.key for metric in metrics_of(OverlapMetric, ("iou", "auc"))] == ["iou"]


def test_validation_of_disjoint_classes_has_the_metrics_of_sizes(model: Store, tmp_path: Path) -> None:
    corpus = f"{model.url.rpartition('/')[0]}/corpus"
    store = train(tiny_run(corpus, "supervised", tmp_path))
    [scores] = [record["validation"] for record in read(store) if "validation" in record]
    assert len(scores["sensitivity"]) == len(scores["dice"]) == 4 and scores["mean"] == pytest.approx(
        np.mean([dice for dice in scores["dice"] if dice is not None])
    )
