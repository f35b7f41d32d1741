"""PretrainedModel models that a run starts from, and opening one of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import timm
import yaml

from framework.core.artifact import ArtifactSpec, add_file, finish
from framework.core.errors import ConfigError, ScantsegError
from framework.core.storage import Store
from framework.corpus.reader import Corpus
from framework.inference.predictor import Predictor
from framework.training.ray_trainer import anchored
from framework.training.run import train
from tests.contract.support import build, build_phantom, tiny_run


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> str:
    return build_phantom(tmp_path_factory.mktemp("finished") / "corpus")


def test_another_classifier_is_another_run(corpus: str, tmp_path: Path) -> None:
    first = build(tiny_run(corpus, "sks", tmp_path)).identity
    other = train(tiny_run(corpus, "classifier", tmp_path, {"seed": 5}))
    second = build(
        tiny_run(corpus, "sks", tmp_path / "other", {"models": {"classifier": other.url}})
    ).identity
    assert {key for key in first if first[key] != second[key]} == {"models.classifier"}


BAD = {
    "other network": (
        {"network": {"widths": [4, 4, 8, 16]}},
        "models.classifier: .* has another network than this run",
    ),
    "no classifier": ({"models": {"classifier": "nowhere/model"}}, "no finished model here"),
    "no such role": ({"models": {"clasifier": "x"}}, "has no such role; did you mean 'classifier'"),
}


@pytest.mark.parametrize("fault", BAD)
def test_a_model_that_does_not_fit_is_named(fault: str, corpus: str, tmp_path: Path) -> None:
    changes, message = BAD[fault]
    with pytest.raises(ScantsegError, match=message):
        build(tiny_run(corpus, "sks", tmp_path, changes))


def test_a_model_that_is_no_classifier_is_named(corpus: str, tmp_path: Path) -> None:
    segmenter = train(tiny_run(corpus, "supervised", tmp_path))
    with pytest.raises(ConfigError, match="holds no classifier"):
        build(tiny_run(corpus, "sks", tmp_path, {"models": {"classifier": segmenter.url}}))


def test_a_classifier_that_has_seen_test_images_is_refused(corpus: str, tmp_path: Path) -> None:
    """What it knows of them by heart would prompt the segmenter that is measured on them."""
    model = Store.at(tmp_path / "model")
    for name in ("config.yaml", "model.json", "model.safetensors"):
        model.write_bytes(name, Store.at(f"{corpus}-classifier").read_bytes(name))
    seen = Corpus.open(corpus).ids("test")[0]
    model.write_json(
        "trained_image_hashes.json", ["another picture", Corpus.open(corpus).value(seen, "hash")]
    )
    finish(model, ArtifactSpec("model", {}, {}), {}, 0.0)
    with pytest.raises(
        ConfigError,
        match=f"models.classifier: .* has learnt from image '{seen}', which .* keeps for measuring",
    ):
        build(tiny_run(corpus, "sks", tmp_path, {"models": {"classifier": model.url}}))


def test_workers_in_another_folder_find_the_same_models(
    corpus: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(Path(corpus).parent)
    run = tiny_run("corpus", "sks", tmp_path)
    assert run.models == {"classifier": "corpus-classifier"}
    assert anchored(run).models == {"classifier": f"{corpus}-classifier"}


def test_a_model_is_described_as_it_was_trained_whatever_was_tried_before(
    corpus: str, tmp_path: Path
) -> None:
    """A first attempt that failed left its description, by which the model of the second was then read."""
    with pytest.raises(ScantsegError, match="needs weak training images"):
        train(tiny_run(corpus, "mixing", tmp_path, {"name": "one", "corpus": {"size": 16, "layers": []}}))
    store = train(tiny_run(corpus, "supervised", tmp_path, {"name": "one", "train": {"steps": 1}}))
    assert Predictor(store).run.corpus.size == tiny_run(corpus, "supervised", tmp_path).corpus.size != 16


def test_a_finished_model_needs_no_other_weights(
    corpus: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that had begun from ImageNet could not be opened on a machine without a network."""
    encoder = {"network": {"name": "encoder", "encoder": "resnet10t"}}
    store = train(tiny_run(corpus, "classifier", tmp_path, {**encoder, "train": {"steps": 1}}))
    description = yaml.safe_load(store.read_text("config.yaml"))
    description["network"]["pretrained"] = True
    store.write_text("config.yaml", yaml.safe_dump(description))
    add_file(store, "config.yaml")
    asked: list[bool] = []
    create = timm.create_model

    def spied(name: str, pretrained: bool, **settings: Any) -> Any:
        asked.append(pretrained)
        return create(name, False, **settings)

    monkeypatch.setattr(timm, "create_model", spied)
    Predictor(store)
    assert asked == [False]
