"""What of a run is kept, chosen and counted as what it is: best score, averaged weights, inputs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from framework.core.errors import CheckpointError
from framework.core.storage import Store
from framework.corpus.reader import Corpus
from framework.corpus.writer import pack
from framework.experiments.pipeline.config import PhantomConfig
from framework.experiments.pipeline.run import phantom_source
from framework.networks.ema import Ema
from framework.training.checkpoint import encode_tensors
from framework.training.loop import _validate
from framework.training.optimise import OptimiserConfig
from framework.training.strategies.ddp import TorchStrategy
from framework.training.trainer import artifact_spec, identity
from framework.training.validation import CaseTally, Validated, as_finished
from framework.training.worker import _write_model
from tests.contract.support import build, tiny_run, trained


def test_the_best_score_outlives_a_restart(phantom_url: str, tmp_path: Path) -> None:
    run = tiny_run(phantom_url, "supervised", tmp_path)
    trainer = build(run)
    trainer.step, trainer.best = 2, 0.75
    trainer.save()
    assert (build(run).step, build(run).best) == (2, 0.75)


def test_a_worse_score_does_not_take_the_place_of_the_best(tmp_path: Path) -> None:
    scores, method = iter([0.2, 0.6, 0.4]), SimpleNamespace(metric=lambda: "dice")
    run, weights = SimpleNamespace(train=SimpleNamespace(select="best")), iter([1.0, 2.0, 3.0])
    trainer: Any = SimpleNamespace(method=method, run=run, step=1, best=-1.0, store=Store.at(tmp_path))
    trainer.weights = lambda: {"w": torch.tensor(next(weights))}
    validator: Any = SimpleNamespace(score=lambda trainer: {"dice": Validated([], next(scores))})
    heard: list[float] = []
    for _ in range(3):
        _validate(trainer, None, [validator], lambda record: heard.append(record["score"]))
    assert (trainer.best, heard) == (0.6, [0.2, 0.6, 0.4])
    assert trainer.store.read_bytes("best.safetensors") == encode_tensors({"w": torch.tensor(2.0)})


def test_the_model_is_the_best_one_where_that_was_asked_for(phantom_url: str, tmp_path: Path) -> None:
    for select in ("best", "last"):
        changes: dict[str, Any] = {"train": {"steps": 1, "select": select}}
        trainer = trained(tiny_run(phantom_url, "supervised", tmp_path / select, changes))
        best, last = encode_tensors({"w": torch.ones(1)}), trainer.weights()
        trainer.store.write_bytes("best.safetensors", best)
        _write_model(trainer, last, 0.0)
        wanted = best if select == "best" else encode_tensors(last)
        assert trainer.store.read_bytes("model.safetensors") == wanted


def test_the_model_has_the_averaged_weights_and_training_the_live_ones(
    phantom_url: str, tmp_path: Path
) -> None:
    trainer = build(tiny_run(phantom_url, "supervised", tmp_path, {"train": {"ema": 0.9}}))
    assert trainer.ema is not None
    name, live = next(iter(trainer.method.networks.named_parameters()))
    trainer.ema.shadow[name].fill_(7.0)
    assert (trainer.weights()[f"networks.{name}"] == 7).all() and (live != 7).all()


def test_validation_is_of_the_averaged_weights() -> None:
    method = nn.Linear(1, 1).train()
    averaged = Ema(method, 0.9)
    averaged.shadow["weight"].fill_(7.0)
    trainer: Any = SimpleNamespace(method=method, ema=averaged)
    with as_finished(trainer):
        assert method.weight.item() == 7 and not method.training
    assert method.weight.item() != 7 and method.training


def test_a_false_alarm_costs_in_validation_and_silence_and_ignored_pixels_earn_nothing() -> None:
    """Three cases of one class: found, falsely claimed, neither there nor claimed."""
    mask, predicted = torch.zeros(2, 3, 4, 4, dtype=torch.int64)
    mask[0, 0] = predicted[0, :2] = predicted[1, 3] = 1
    mask[0, 1] = 255
    tally = CaseTally(2, 3, torch.device("cpu"))
    tally.add(torch.arange(3), nn.functional.one_hot(predicted, 2).movedim(-1, 1).float(), mask)
    assert tally.scores()["dice"].values == [0.5]


def test_another_corpus_under_the_same_name_is_another_run(tmp_path: Path) -> None:
    corpus = Store.at(tmp_path / "corpus")
    for seed in (1, 2):
        corpus.remove()
        pack(phantom_source(PhantomConfig(images=20, size=32, seed=seed), "c"), corpus)
        run = tiny_run(corpus.url, "supervised", tmp_path)
        if seed == 1:
            build(run).save()
        else:
            with pytest.raises(CheckpointError, match=r"another configuration \(corpus.version"):
                build(run)


def test_another_layer_under_the_same_name_is_another_run(
    phantom_url: str, tmp_path: Path, write_layer: Callable[..., str]
) -> None:
    corpus = Corpus.open(phantom_url)
    masks = {corpus.ids("train")[0]: np.zeros((48, 48), np.uint8)}
    layer = Store.at(write_layer(tmp_path / "layer", phantom_url, masks))
    run = tiny_run(phantom_url, "supervised", tmp_path, {"corpus": {"layers": [layer.url]}})
    before = identity(run), artifact_spec(run).hash
    layer.write_json("artifact.json", layer.read_json("artifact.json") | {"hash": "another"})
    after = identity(run), artifact_spec(run).hash
    assert before[0] != after[0] and before[1] != after[1]


def test_a_gradient_that_is_not_finite_changes_no_weight() -> None:
    network = nn.Conv2d(1, 2, 3)
    method: Any = nn.Module()
    method.networks, method.live = nn.ModuleDict({"network": network}), {}
    strategy = TorchStrategy(TorchStrategy.Config(), torch.device("cpu"), "fp32")
    strategy.wrap(method, OptimiserConfig(name="sgd"))
    before = network.weight.detach().clone()
    for value, moves in ((float("nan"), False), (1.0, True)):
        for parameter in network.parameters():
            parameter.grad = torch.full_like(parameter, value)
        norm = strategy.step("network", 0.1)
        assert bool(torch.isfinite(norm)) is moves
        assert torch.equal(network.weight, before) is not moves
