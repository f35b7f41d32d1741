"""Every description in configs/ is whole, and the papers' own variants build and take a step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from framework.core.config_files import load_yaml, merge, parse
from framework.core.storage import Store
from framework.experiments.compare.config import load_comparison
from framework.experiments.pipeline.config import PipelineConfig
from framework.experiments.pipeline.run import stage_run
from framework.experiments.pipeline.stages import TrainStage
from framework.methods.classifier.method import Classifier
from framework.networks.encoder import EncoderConfig
from framework.training.config import TrainConfig
from tests.contract.support import VOLUMES, build

CONFIGS = Path(__file__).parents[2] / "configs"
FOLDERS = ("acdc", "busi", "phantom")


def recipes(*folders: str) -> list[Path]:
    """Descriptions of whole runs: those with a name."""
    return [
        path
        for folder in folders
        for path in sorted((CONFIGS / folder).glob("*.yaml"))
        if "name" in load_yaml(path)
    ]


def spoken(path: Path) -> str:
    return f"{path.parent.name}-{path.stem}"


def trainings(*folders: str) -> list[TrainConfig]:
    """Everything that descriptions train, stage by stage."""
    runs = [parse(load_yaml(path), PipelineConfig) for path in recipes(*folders)]
    return [
        stage_run(run, stage, Store.at("runs"))
        for run in runs
        for stage in run.stages
        if isinstance(stage, TrainStage)
    ]


def test_boundaries_are_learnt_without_momentum() -> None:
    """Methods/README 7.3, 1: the authors' optimiser passes its weight decay as momentum: theirs has none."""
    optimisers = [
        run.optimiser for run in trainings(*FOLDERS, "idrid", "paper") if run.method.name == "irnet"
    ]
    assert [(optimiser.name, optimiser.momentum) for optimiser in optimisers] == [("sgd", 0)] * 4


def test_the_papers_boundaries_are_at_stride_16() -> None:
    runs = [run for run in trainings("paper") if run.method.name == "irnet"]
    assert [run.network.output_stride for run in runs if isinstance(run.network, EncoderConfig)] == [16, 16]


def test_classifiers_whose_maps_are_used_have_dropblock() -> None:
    """Methods/README 7.3, 2: the authors' description names a block size for a network that ignores it."""
    methods = [run.method for run in trainings(*FOLDERS, "paper")]
    dropblocks = [method.dropblock for method in methods if isinstance(method, Classifier.Config)]
    assert len(dropblocks) >= 5 and all(dropblocks)
    assert load_yaml(CONFIGS / "method/classifier.yaml")["method"]["dropblock"]["share"] > 0


def test_papers_of_one_view_have_one_and_the_others_strong_ones() -> None:
    one = {"cps", "coda", "mean_teacher", "ua_mt"}
    for run in trainings("paper"):
        views = (run.augment.strong, run.augment.blur)
        assert (views == (0, 0)) == (run.method.name in one), run.name
    assert all(run.augment.strong > 0 for run in trainings(*FOLDERS))


def test_every_method_has_a_recipe_for_every_corpus_and_one_as_in_its_paper() -> None:
    methods = {path.stem for path in (CONFIGS / "method").glob("*.yaml")}
    for folder in FOLDERS:
        assert methods <= {path.stem.removeprefix("boxes-") for path in recipes(folder)}
    assert methods <= {path.stem for path in recipes("paper")}


@pytest.mark.parametrize("path", recipes(*FOLDERS, "idrid", "paper"), ids=spoken)
def test_a_recipe_is_whole_and_bears_its_place_as_its_name(path: Path) -> None:
    assert parse(load_yaml(path), PipelineConfig).name == spoken(path)


@pytest.mark.parametrize("path", sorted((CONFIGS / "compare").glob("*.yaml")), ids=spoken)
def test_a_comparison_finds_its_recipes(path: Path) -> None:
    comparison = load_comparison(path)
    assert comparison.config.control in comparison.recipes


@pytest.mark.parametrize("path", recipes("paper"), ids=spoken)
def test_a_papers_own_variant_takes_a_step(
    path: Path, tiny_corpus: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Models that it starts from are not there at that size: it keeps its own weights."""
    monkeypatch.setattr("framework.training.trainer.load_pretrained_models", lambda method, run, corpus: None)
    value = load_yaml(path)
    value["models"] = dict.fromkeys(value.get("models", {}), f"{tiny_corpus}-classifier")
    small: dict[str, Any] = {"path": tiny_corpus, "size": 32, "budget": {"share": 0.5, "stratify": None}}
    if value["corpus"].get("layers"):
        small |= {"layers": ["seed" if value["method"]["name"] == "irnet" else "box"]}
    if value["corpus"].get("patch"):
        small |= {"path": tiny_corpus + VOLUMES, "patch": [16, 32, 32]}
    tiny = {
        "out": str(tmp_path),
        "corpus": small,
        "train": {"steps": 1, "batch": 2},
        "compute": {"workers": 0},
    }
    if value["method"]["name"] == "classifier":
        value["method"]["targets"] = {}
    if value["network"]["name"] in ("smp", "encoder"):
        tiny["network"] = {"pretrained": False}
    if "encoder" in value["method"]:
        tiny["method"] = {"grade": {"label": "grade"}, "encoder": {"pretrained": False}}
    if "healthy" in value["method"]:
        tiny["method"]["healthy"] = "none"
    if value["method"]["name"] == "irnet":
        small |= {"size": 64}  # over its radius
    if "swin" in value["network"].get("encoder", ""):
        small |= {"size": 256}
    trainer = build(parse(merge(value, tiny), PipelineConfig))
    assert torch.isfinite(trainer.train_step(trainer.to_device(trainer.loader.batch_at(0)))["loss"])
