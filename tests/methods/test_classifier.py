"""The whole path of a classifier, and what it says when something does not fit."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
import torch

from framework.core.config_files import merge, parse
from framework.core.errors import ConfigError, CorpusError
from framework.core.storage import Store
from framework.corpus.reader import Corpus
from framework.corpus.sources import phantom
from framework.corpus.sources.folder import folder_source
from framework.corpus.writer import pack
from framework.evaluation.evaluate import evaluate
from framework.experiments.pipeline.config import PipelineConfig
from framework.labelling.job import make
from framework.labelling.pseudolabel import PseudoLabel
from framework.reporting.report import write_report
from framework.training.metric_log import read
from framework.training.run import train
from framework.training.trainer import Trainer

LESION = {"lesions": {"label": "has_HE", "classes": {"absent": ["no"], "present": ["yes"]}}}


def run_of(
    corpus: str, out: Path, changes: dict[str, Any] | None = None, targets: dict[str, Any] = LESION
) -> PipelineConfig:
    value = {
        "name": "classifier",
        "out": str(out),
        "corpus": {"path": corpus, "size": 48},
        "network": {"name": "encoder", "widths": [8, 8, 16, 16], "output_stride": 8},
        "method": {"name": "classifier", "targets": targets},
        "train": {"steps": 120, "batch": 8, "precision": "fp32", "validate_every": 60},
        "compute": {"workers": 0},
    }
    return parse(merge(value, changes or {}), PipelineConfig)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> str:
    store = Store.at(tmp_path_factory.mktemp("classification") / "corpus")
    pack(phantom.source("phantom", images=200, size=48, seed=2), store)
    return store.url


@pytest.fixture(scope="module")
def model(corpus: str, tmp_path_factory: pytest.TempPathFactory) -> Store:
    return train(run_of(corpus, tmp_path_factory.mktemp("runs")))


def test_a_classifier_learns_is_scored_and_reported(model: Store, corpus: str, tmp_path: Path) -> None:
    scores = [record["validation"] for record in read(model) if "validation" in record]
    counts = model.read_json("artifact.json")["counts"]
    assert counts["best_validation_auc"] == max(score["mean"] for score in scores) > 0.6
    out = Store.at(tmp_path / "test")
    (target,) = evaluate(model, corpus, out, "test")["targets"].values()
    assert target["auc"]["mean"] > 0.6
    rows = out.read_table("classification.parquet").to_pylist()
    assert {row["id"] for row in rows} == set(Corpus.open(corpus).ids("test"))
    with open(tmp_path / "test/classification.csv") as file:
        written = next(csv.DictReader(file))["probability"].split()
    assert list(map(float, written)) == pytest.approx(rows[0]["probability"], abs=1e-6)
    page = Path(write_report([model, out], tmp_path / "report.html")).read_text()
    assert (
        "Image-level classes" in page
        and "with the image-level labels of" in page
        and "Validation AUC" in page
    )


def test_classes_are_drawn_in_turn(corpus: str, tmp_path: Path) -> None:
    trainer = Trainer.build(run_of(corpus, tmp_path), Store.at(tmp_path / "x"), torch.device("cpu"))
    (target,) = trainer.method.targets
    assert target.of(trainer.loader.batch_at(3)["labelled"].labels).tolist() == [0, 1] * 4


def test_runs_of_two_seeds_learn_from_two_shuffles(corpus: str, tmp_path: Path) -> None:
    def classes(seed: int) -> list[int]:
        run = run_of(corpus, tmp_path, {"seed": seed, "corpus": {"shuffle_labels": True}})
        trainer = Trainer.build(run, Store.at(tmp_path / "x"), torch.device("cpu"))
        return trainer.data.classes(trainer.data.train, trainer.method.targets[0])

    assert classes(1) == classes(1) != classes(2)
    assert sum(classes(1)) == sum(classes(2))


def test_masks_are_no_business_of_a_classifier(model: Store, corpus: str) -> None:
    with pytest.raises(ConfigError, match="which makes no masks"):
        make(PseudoLabel, PseudoLabel.Config(), corpus, "pseudo", model=model.url)


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "no such label": ({"method": {"targets": {"lesions": {"label": "has_HR"}}}}, "did you mean 'has_HE'"),
    "a network of masks": ({"network": {"name": "unet"}}, "set network.name to encoder"),
    "an encoder for masks": (
        {"method": {"name": "supervised"}},
        "makes no masks, as method 'supervised' must",
    ),
    "volumes": ({"corpus": {"patch": [4, 32, 32]}}, "leave corpus.patch out"),
}


@pytest.mark.parametrize("fault", BAD)
def test_what_does_not_fit_is_one_clear_line(fault: str, corpus: str, tmp_path: Path) -> None:
    changes, message = BAD[fault]
    with pytest.raises(ConfigError, match=message):
        train(run_of(corpus, tmp_path, changes))


def test_a_corpus_without_labels_or_with_one_value_alone(folder: Path, tmp_path: Path) -> None:
    rows = list(csv.DictReader((folder / "labels.csv").open()))
    fields = [name for name in rows[0] if name in ("id", "split", "patient", "group")]
    plain = pack_folder(folder, tmp_path / "plain", fields, rows)
    with pytest.raises(
        ConfigError, match="needs image-level labels and the corpus has none; add a column to labels"
    ):
        train(run_of(plain, tmp_path, targets={}))
    for row in rows:
        row["kind"] = "b" if row["split"] != "train" else "a"
    single = pack_folder(folder, tmp_path / "single", [*fields, "kind"], rows)
    with pytest.raises(
        CorpusError,
        match=r"needs 'b' training images and there is none; add some to .*two classes must be told apart",
    ):
        train(run_of(single, tmp_path, targets={"kind": {"label": "kind"}}))


def test_a_classifier_needs_no_validation_images(folder: Path, tmp_path: Path) -> None:
    """A segmenter did without them, a classifier stopped at the first."""
    rows = list(csv.DictReader((folder / "labels.csv").open()))
    for row in rows:
        row["split"] = "train"
    alone = pack_folder(folder, tmp_path / "alone", [name for name in rows[0] if name], rows)
    store = train(run_of(alone, tmp_path, {"train": {"steps": 1}}, targets={"sex": {"label": "sex"}}))
    assert store.read_json("artifact.json")["counts"]["best_validation_auc"] is None


def pack_folder(folder: Path, out: Path, fields: list[str], rows: list[dict[str, str]]) -> str:
    with open(folder / "labels.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, fields, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    pack(folder_source(Store.at(folder), out.name, ["background", "a", "b"]), Store.at(out))
    return str(out)
