"""What every method must do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from framework.loading.loader import Batch, StreamBatch
from framework.methods.irnet.method import IRNet
from framework.training.checkpoint import latest
from framework.training.trainer import Trainer
from tests.contract.support import CASES, VOLUMES, build, losses, tiny_run, trained

pytestmark = pytest.mark.parametrize("method", CASES)


def state(trainer: Trainer) -> dict[str, Tensor]:
    return {**trainer.method.state_dict(), **trainer.strategy.optimiser_state()}


def assert_equal(first: dict[str, Tensor], second: dict[str, Tensor]) -> None:
    assert first.keys() == second.keys()
    different = [name for name in first if not torch.equal(first[name], second[name])]
    assert not different


def shape_of(method: str, size: tuple[int, int]) -> tuple[int, ...]:
    """Sides of an image, or of a volume of an odd number of slices."""
    return (5, *size) if method.endswith(VOLUMES) else size


def random_batch(trainer: Trainer, size: tuple[int, ...], label: int | None = None) -> Batch:
    generator = torch.Generator().manual_seed(0)
    info = trainer.data.corpus.info
    classes, channels = len(info.classes), info.channels
    batch = {}
    for name in trainer.loader.streams:
        mask = (
            torch.randint(0, classes, (2, *size), generator=generator)
            if label is None
            else torch.full((2, *size), label)
        )
        views = tuple(
            torch.randn(2, channels, *size, generator=generator)
            for _ in range(1 + trainer.loader.streams[name].strong)
        )
        labels = torch.tensor(
            [[-1 if i else len(label.values) - 1 for label in info.labels] for i in range(2)]
        )  # one image's unknown
        batch[name] = StreamBatch(
            list(trainer.loader.samplers[name].ids[:2]), views[0], views[1:], mask, labels
        )
    return batch


def test_every_network_gets_a_gradient(method: str, tiny_corpus: str, tmp_path: Path) -> None:
    trainer = build(tiny_run(tiny_corpus, method, tmp_path))
    before = {name: p.detach().clone() for name, p in trainer.method.networks.named_parameters()}
    metrics = trainer.train_step(trainer.loader.batch_at(0))
    assert torch.isfinite(metrics["loss"])
    unchanged = [
        name for name, p in trainer.method.networks.named_parameters() if torch.equal(before[name], p)
    ]
    assert not unchanged


def test_overfits_four_images(method: str, tiny_corpus: str, tmp_path: Path) -> None:
    still = {"flip": False, "quarter_turns": False}
    changes: dict[str, Any] = {
        "train": {"steps": 150},
        "augment": still,
        "optimiser": {"lr": 0.01, "schedule": "constant"},
    }
    run = tiny_run(tiny_corpus, method, tmp_path, changes)
    if run.network.name != "encoder" and not run.models:
        run = tiny_run(tiny_corpus, method, tmp_path, changes | {"network": {"widths": [8, 16]}})
    trainer = build(run)
    batch = trainer.loader.batch_at(0)

    def loss() -> float:
        loss = float(trainer.train_step(batch)["loss_supervised"])
        trainer.step += 1
        return loss

    first = loss()
    assert any(loss() < 0.4 * first for _ in range(100))


def test_interrupted_equals_uninterrupted_bit_for_bit(method: str, tiny_corpus: str, tmp_path: Path) -> None:
    changes = {"train": {"ema": 0.9}}
    whole = trained(tiny_run(tiny_corpus, method, tmp_path / "whole", changes))
    run = tiny_run(tiny_corpus, method, tmp_path / "parts", changes)
    trained(run, stop=3)
    resumed = trained(run)
    assert_equal(state(whole), state(resumed))
    assert whole.ema is not None and resumed.ema is not None
    assert_equal(whole.ema.shadow, resumed.ema.shadow)


def test_steps_do_not_depend_on_how_many_there_are_unless_it_says_so(
    method: str, tiny_corpus: str, tmp_path: Path
) -> None:
    changes: dict[str, Any] = {"optimiser": {"schedule": "constant"}}
    runs = [
        tiny_run(tiny_corpus, method, tmp_path / str(steps), {**changes, "train": {"steps": steps}})
        for steps in (6, 60)
    ]
    if not runs[0].bound_to_steps():
        first, second = (trained(run, stop=3) for run in runs)
        assert_equal(state(first), state(second))


def test_saved_and_loaded_bit_for_bit(method: str, tiny_corpus: str, tmp_path: Path) -> None:
    run = tiny_run(tiny_corpus, method, tmp_path)
    saved = trained(run)
    assert_equal(state(saved), state(build(run)))
    checkpoint = latest(saved.store / "checkpoints", saved.identity)
    assert checkpoint is not None and checkpoint.step == 6


def test_same_seed_same_losses_other_seed_others(method: str, tiny_corpus: str, tmp_path: Path) -> None:
    runs = [
        tiny_run(tiny_corpus, method, tmp_path / name, {"seed": seed})
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    ]
    for run in runs:
        trained(run)
    assert losses(runs[0]) == losses(runs[1]) != losses(runs[2])


@pytest.mark.parametrize(
    ("precision", "size", "label"),
    [
        ("bf16", (32, 32), 0),
        ("bf16", (32, 32), 255),
        ("bf16", (32, 32), 2),
        ("bf16", (33, 47), None),
        ("fp32", (32, 32), 255),
        ("fp64", (33, 47), None),
    ],
)
def test_finite_on_empty_ignored_single_class_and_odd_images(
    method: str, precision: str, size: tuple[int, int], label: int | None, tiny_corpus: str, tmp_path: Path
) -> None:
    trainer = build(tiny_run(tiny_corpus, method, tmp_path, {"train": {"precision": precision}}))
    for _ in range(3):
        metrics = trainer.train_step(trainer.to_device(random_batch(trainer, shape_of(method, size), label)))
        assert all(torch.isfinite(value).all() for value in metrics.values())
        trainer.step += 1
    assert all(torch.isfinite(p).all() for p in trainer.method.state_dict().values())


def test_predicts_probabilities_of_the_image_size_or_of_each_answer_or_boundaries(
    method: str, tiny_corpus: str, tmp_path: Path
) -> None:
    trainer = build(tiny_run(tiny_corpus, method, tmp_path))
    trainer.method.eval()
    info, size = trainer.data.corpus.info, shape_of(method, (33, 47))
    image = torch.randn(2, info.channels, *size)
    if isinstance(trainer.method, IRNet):
        boundaries = trainer.method.boundaries(image)
        assert boundaries.shape == (2, 9, 12) and ((boundaries >= 0) & (boundaries <= 1)).all()
        return
    masks = trainer.method.predict(image) if trainer.method.segments else {}
    classified = trainer.method.classify(image)
    assert set(classified) == {target.name for target in trainer.method.targets} and (masks or classified)
    for probability in masks.values():
        assert probability.shape == (2, len(info.classes), *size)
        if trainer.method.multilabel:
            assert torch.equal(probability[:, 0], 1 - probability[:, 1:].amax(1)) and (probability >= 0).all()
    for target in trainer.method.targets:
        assert classified[target.name].shape == (2, len(target.classes))
    for probability in (*([] if trainer.method.multilabel else masks.values()), *classified.values()):
        assert torch.allclose(probability.sum(1), torch.ones(2, *probability.shape[2:]), atol=1e-5)
