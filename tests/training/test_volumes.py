"""The whole path of a run on volumes, and what it says when something does not fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from framework.core.errors import ConfigError
from framework.core.storage import Store
from framework.corpus.reader import Corpus
from framework.evaluation.evaluate import evaluate
from framework.experiments.compare.pictures import write_pictures
from framework.experiments.compare.table import SeedRun
from framework.imaging.overlay import panels
from framework.inference.predictor import Predictor
from framework.labelling.job import make
from framework.labelling.pseudolabel import PseudoLabel
from framework.methods.registry import METHODS
from framework.methods.sliding_window import predict_whole
from framework.training.config import TrainConfig
from framework.training.precision import safe_precision
from framework.training.run import train
from framework.training.trainer import Trainer
from framework.training.validation import MaskValidator
from tests.contract.support import CASES, EXAMPLES, losses, tiny_run, trained
from tests.contract.volumes import build_volumes

CHANGES = {
    "train": {"steps": 60, "validate_every": 60},
    "optimiser": {"lr": 0.01},
    "network": {"widths": [8, 16]},
}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> str:
    return build_volumes(tmp_path_factory.mktemp("volumes") / "corpus-3d").removesuffix("-3d")


@pytest.fixture(scope="module")
def model(corpus: str, tmp_path_factory: pytest.TempPathFactory) -> Store:
    return train(tiny_run(corpus, "supervised-3d", tmp_path_factory.mktemp("runs"), CHANGES))


def test_a_model_of_volumes_is_trained_and_scored_volume_by_volume(
    model: Store, corpus: str, tmp_path: Path
) -> None:
    summary = evaluate(model, f"{corpus}-3d", Store.at(tmp_path / "val"), "val")
    assert (summary["cases"], summary["dimension"], summary["unit"]) == (4, 3, "mm")
    assert summary["predictors"]["network 1"]["mean"]["dice"]["mean"] > 0.6
    assert Store.at(tmp_path / "val").exists("best-0.png")
    counts = model.read_json("artifact.json")["counts"]
    opened = Corpus.open(f"{corpus}-3d")
    assert counts["train_images"] == len(opened.ids("train"))
    assert set(model.read_json("labelled.json")) < set(opened.ids("train"))


def test_slices_are_predicted_in_their_volume(model: Store, corpus: str) -> None:
    opened, predictor = Corpus.open(f"{corpus}-3d"), Predictor(model)
    images = [opened.image(name) for name in opened.volumes("val")["p11-1"]]
    (whole,) = predictor.segment(images).values()
    assert [mask.shape for mask in whole] == [(32, 32)] * len(images)
    (alone,) = predictor.segment(images[:1]).values()
    assert not np.array_equal(whole[0], alone[0])


def test_a_comparison_shows_a_slice_as_it_is_predicted_in_its_volume(
    model: Store, corpus: str, tmp_path: Path
) -> None:
    evaluate(model, f"{corpus}-3d", Store.at(tmp_path / "val"), "val")
    folder = Store.at(tmp_path / "comparison")
    write_pictures(folder, [SeedRun("3d", 0, model, Store.at(tmp_path / "val"))], "3d", f"{corpus}-3d")
    opened, predictor = Corpus.open(f"{corpus}-3d"), Predictor(model)
    for shown in folder.read_json("pictures.json")["cases"]:
        names = opened.volumes("val")[shown["case"]]
        (masks,) = predictor.segment([opened.image(name) for name in names]).values()
        sample = opened.read(shown["image"])
        assert sample.mask is not None
        expected = panels(sample.image, sample.mask, masks[names.index(shown["image"])])
        assert folder.read_bytes(shown["file"]) == expected


def outside_the_contract() -> list[str]:
    """Examples of methods that take volumes, which the contract does not try on any."""
    names = [name for name in EXAMPLES if f"{name}-3d" not in CASES]
    return [name for name in names if METHODS[name.split("-")[0]].needs.volumes]


@pytest.mark.parametrize("method", outside_the_contract())
def test_methods_outside_the_contract_suite_take_steps_on_volumes(
    method: str, corpus: str, tmp_path: Path
) -> None:
    values = losses(trained(tiny_run(corpus, f"{method}-3d", tmp_path, {"train": {"steps": 5}})).run)
    assert len(values) == 5 and np.isfinite(values).all()


def test_validation_while_training_is_the_dice_of_whole_volumes(corpus: str, tmp_path: Path) -> None:
    run = tiny_run(corpus, "supervised-3d", tmp_path, {"train": {"ema": 0.9}})
    trainer = Trainer.build(run, Store.at(tmp_path) / "run", torch.device("cpu"))
    validator = MaskValidator(trainer)
    assert validator.ids == list(trainer.data.corpus.volumes("val"))
    trainer.method.predict = lambda image: {"all": one_hot(torch.ones_like(image[:, 0]).long())}  # type: ignore[method-assign]
    masks = [trainer.data.get(name).mask for name in validator.ids]
    expected = np.mean([2 * (m == 1).sum() / (m.size + (m == 1).sum()) for m in masks if m is not None])
    assert validator.score(trainer)["dice"].values == pytest.approx([expected, 0], abs=1e-6)


@pytest.mark.parametrize("shape", [(4, 24, 24), (7, 32, 30), (2, 24, 40)])
def test_windows_blend_to_what_a_pointwise_predictor_says(
    shape: tuple[int, int, int], corpus: str, tmp_path: Path
) -> None:
    run = tiny_run(corpus, "cps-3d", tmp_path)
    method = Trainer.build(run, Store.at(tmp_path) / "run", torch.device("cpu")).method
    method.predict = lambda image: {"a": image.sigmoid(), "b": image.sigmoid() * 2}  # type: ignore[method-assign]
    image = torch.randn(1, 1, *shape)
    predicted = predict_whole(method, image, run.corpus.patch)
    assert torch.allclose(predicted["a"], image.sigmoid(), atol=1e-5) and torch.allclose(
        predicted["b"], 2 * image.sigmoid(), atol=1e-5
    )


def test_pseudo_labelling_refuses_a_model_of_volumes(model: Store, corpus: str) -> None:
    with pytest.raises(ConfigError, match="a model of volumes; pseudo-labelling works image by image"):
        make(PseudoLabel, PseudoLabel.Config(), f"{corpus}-3d", "pseudo", model=model.url)
    assert not Store.at(f"{corpus}-3d").exists("layers/pseudo/spec.json")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"network": {"name": "unet"}},
            "network 'unet' takes images, corpus.patch makes volumes; set network.name to monai",
        ),
        (
            {"method": {"name": "unimatch"}},
            "method 'unimatch' perturbs features, .* use fixmatch for volumes",
        ),
        ({"corpus": {"patch": None}}, "network 'monai' takes volumes; set corpus.patch"),
        (
            {"corpus": {"patch": [4, 64, 24]}},
            r"'corpus.patch' is \[4, 64, 24\]: rows and columns of a patch are at most corpus.size, 32",
        ),
        ({"corpus": {"patch": [4, 24]}}, "'corpus.patch' is .*at least 3 items"),
    ],
)
def test_what_does_not_fit_is_said_in_one_line(
    changes: dict, message: str, corpus: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        tiny_run(corpus, "supervised-3d", tmp_path, changes)


def test_volumes_on_processors_are_never_computed_in_bfloat16() -> None:
    processor, gpu = torch.device("cpu"), torch.device("cuda")
    assert safe_precision("bf16", processor, volumes=True) == "fp32"
    assert (
        safe_precision("bf16", gpu, volumes=True)
        == safe_precision("bf16", processor, volumes=False)
        == "bf16"
    )
    assert safe_precision("fp64", processor, volumes=True) == "fp64"


def test_the_identity_of_a_run_survives_json(corpus: str, tmp_path: Path) -> None:
    run: TrainConfig = tiny_run(corpus, "supervised-3d", tmp_path)
    assert run.identity()["corpus.patch"] == [4, 24, 24]


def one_hot(labels: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.one_hot(labels, 3).movedim(-1, 1).float()
