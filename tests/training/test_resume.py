"""What an unfinished run goes on from, what may change between, and what is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from framework.core.config_files import parse
from framework.core.errors import CheckpointError, ConfigError
from framework.core.interruption import Interrupted
from framework.core.storage import Store
from framework.corpus.writer import pack
from framework.experiments.pipeline.config import PhantomConfig
from framework.experiments.pipeline.run import phantom_source
from framework.loading.training_set import TrainingSet
from framework.training.config import TrainConfig
from framework.training.loop import fit
from framework.training.metric_log import read
from framework.training.run import begin, model_store, train
from tests.contract.support import build, losses, tiny_run, trained

CONSTANT: dict[str, Any] = {"optimiser": {"schedule": "constant"}}


def test_a_run_that_is_asked_to_stop_saves_and_goes_on_bit_for_bit(phantom_url: str, tmp_path: Path) -> None:
    run = tiny_run(phantom_url, "supervised", tmp_path / "parts")
    trainer, asked = build(run), iter([False, False, True])
    with pytest.raises(Interrupted) as caught:
        fit(trainer, is_asked=lambda: next(asked))
    assert caught.value.step == 3 and build(run).step == 3 and len(losses(run)) == 3
    train(run)
    whole = tiny_run(phantom_url, "supervised", tmp_path / "whole")
    train(whole)
    assert losses(run) == losses(whole)


def test_two_checkpoints_are_kept_and_falling_back_to_the_older_is_said(
    phantom_url: str, tmp_path: Path
) -> None:
    run = tiny_run(phantom_url, "supervised", tmp_path, {"train": {"checkpoint_every": 2}})
    trained(run)
    folder = tmp_path / "supervised" / "checkpoints"
    assert sorted(path.name for path in folder.iterdir()) == ["step-00000004", "step-00000006"]
    (folder / "step-00000006" / "optimiser.safetensors").write_bytes(b"short")
    store = train(run)
    (notice,) = [record["notice"] for record in read(store) if "notice" in record]
    assert notice == (
        f"{folder}/step-00000006/optimiser.safetensors: truncated or damaged checkpoint (5 bytes); "
        "passed over, the run goes on from step 4"
    )


@pytest.mark.parametrize(
    "change",
    [{"train": {"validate_every": 2}}, {"train": {"checkpoint_every": 1}}, {"compute": {"timeout_s": 9}}],
)
def test_what_changes_no_result_may_change_on_the_way(
    change: dict[str, Any], phantom_url: str, tmp_path: Path
) -> None:
    trained(tiny_run(phantom_url, "supervised", tmp_path), stop=2)
    assert build(tiny_run(phantom_url, "supervised", tmp_path, change)).step == 2


def test_the_interval_of_validation_counts_where_the_best_is_chosen_by_it(
    phantom_url: str, tmp_path: Path
) -> None:
    best: dict[str, Any] = {"train": {"select": "best"}}
    trained(tiny_run(phantom_url, "supervised", tmp_path, best), stop=2)
    with pytest.raises(
        CheckpointError, match=r"another configuration \(train.validate_every: 100 there, 2 now"
    ):
        train(
            tiny_run(phantom_url, "supervised", tmp_path, {"train": {"select": "best", "validate_every": 2}})
        )


def test_an_unfinished_run_of_constant_learning_rate_may_be_extended(
    phantom_url: str, tmp_path: Path
) -> None:
    trained(tiny_run(phantom_url, "supervised", tmp_path / "parts", CONSTANT), stop=3)
    longer = {**CONSTANT, "train": {"steps": 8}}
    parts = tiny_run(phantom_url, "supervised", tmp_path / "parts", longer)
    whole = tiny_run(phantom_url, "supervised", tmp_path / "whole", longer)
    first, second = train(parts), train(whole)
    assert first.read_bytes("model.safetensors") == second.read_bytes("model.safetensors")
    assert first.read_json("artifact.json")["hash"] == second.read_json("artifact.json")["hash"]


def test_another_one_may_not_and_its_description_stays_that_of_the_checkpoint(
    phantom_url: str, tmp_path: Path
) -> None:
    run = tiny_run(phantom_url, "supervised", tmp_path)
    begin(run, model_store(run))
    trained(run, stop=3)
    why = r"\(train.steps, on which optimiser.schedule poly depends: 6 there, 8 now\); give this run"
    with pytest.raises(CheckpointError, match=why):
        train(tiny_run(phantom_url, "supervised", tmp_path, {"train": {"steps": 8}}))
    described = yaml.safe_load((tmp_path / "supervised" / "config.yaml").read_text())
    assert described["train"]["steps"] == 6


def test_a_run_is_not_made_shorter_than_its_checkpoint(phantom_url: str, tmp_path: Path) -> None:
    trained(tiny_run(phantom_url, "supervised", tmp_path, CONSTANT), stop=3)
    with pytest.raises(CheckpointError, match=r"has a checkpoint of step 3, but train.steps is 2; raise it"):
        train(tiny_run(phantom_url, "supervised", tmp_path, {**CONSTANT, "train": {"steps": 2}}))


@pytest.mark.parametrize(
    ("method", "setting"),
    [
        ({"name": "cps", "ramp": 0.3}, "method.ramp"),
        ({"name": "cps", "ramp": 0}, ""),
        ({"name": "ua_mt", "ramp": 0}, "the bound of method ua_mt"),
        ({"name": "supervised"}, ""),
    ],
)
def test_what_binds_a_method_to_its_number_of_steps(method: dict[str, Any], setting: str) -> None:
    run = parse({"name": "r", "corpus": {"path": "c"}, "method": method, **CONSTANT}, TrainConfig)
    assert run.bound_to_steps() == setting


def test_choosing_the_best_without_a_validation_image_is_refused(tmp_path: Path) -> None:
    pack(phantom_source(PhantomConfig(images=2, size=32, seed=2), "c"), Store.at(tmp_path / "c"))
    run = tiny_run(
        str(tmp_path / "c"),
        "supervised",
        tmp_path,
        {"corpus": {"budget": {"share": 1}}, "train": {"select": "best"}},
    )
    with pytest.raises(ConfigError, match=r"train.select is 'best', but no validation image has a mask"):
        train(run)
    assert losses(run) == []


def test_gradients_are_clipped(phantom_url: str, tmp_path: Path) -> None:
    """The first step of plain SGD is as long as learning rate and clipping allow."""
    plain = {"name": "sgd", "momentum": 0, "weight_decay": 0, "lr": 1.0, "clip": 1e-3, "schedule": "constant"}
    trainer = build(tiny_run(phantom_url, "supervised", tmp_path, {"optimiser": plain}))
    before = [parameter.detach().clone() for parameter in trainer.method.networks.parameters()]
    metrics = trainer.train_step(trainer.loader.batch_at(0))
    after = trainer.method.networks.parameters()
    moved = torch.stack([(a - b).norm() for a, b in zip(after, before, strict=True)]).norm()
    assert metrics["gradient_norm"] > 1e-2
    assert moved.item() == pytest.approx(1e-3, rel=1e-2)


def test_a_class_that_no_mask_of_the_run_holds_is_told_at_its_start(
    phantom_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tiny_run(phantom_url, "supervised", tmp_path)
    assert build(run).notices == []
    monkeypatch.setattr(TrainingSet, "_class_pixels", lambda data, name: [9, 1, 0, 1, 1])
    (first, *_) = read(trained(run).store)
    assert first == {
        "step": 0,
        "notice": "no mask that this run learns from holds 'haemorrhage': it cannot be learnt; "
        "see corpus.budget",
    }
