"""IRNet's loss pair by pair, and its frozen backbone (methods/README 2.5)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from framework.core.errors import ConfigError
from framework.core.labels import IGNORE
from framework.loading.loader import StreamBatch
from framework.methods.irnet.affinity import offsets, path
from framework.methods.irnet.method import TINY, IRNet, pair_loss
from framework.networks.encoder import Encoder
from tests.contract.support import build, build_phantom, tiny_run, trained

RADIUS = 4


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> str:
    return build_phantom(tmp_path_factory.mktemp("irnet") / "corpus")


def drawn(seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Boundaries and labels `[2, 6, 7]`, displacements `[2, 2, 6, 7]`."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 4, (2, 6, 7), generator=generator)
    boundary = torch.rand(2, 6, 7, generator=generator, dtype=torch.float64)
    return (
        boundary,
        labels.masked_fill(labels == 3, IGNORE),
        torch.randn(2, 2, 6, 7, generator=generator, dtype=torch.float64),
    )


def by_pairs(boundary: np.ndarray, labels: np.ndarray, moved: np.ndarray) -> tuple[float, float]:
    """The loss with and without displacement, every pair on its own."""
    losses: list[list[Any]] = [[] for _ in range(5)]
    for b, y, x in np.ndindex(labels.shape):
        for dy, dx in offsets(RADIUS):
            if not (y + dy < labels.shape[1] and 0 <= x + dx < labels.shape[2]):
                continue
            own, other = labels[b, y, x], labels[b, y + dy, x + dx]
            if IGNORE in (own, other):
                continue
            tied = 1 - max(boundary[b, y + py, x + px] for py, px in path((dy, dx)))
            apart = moved[b, :, y, x] - moved[b, :, y + dy, x + dx]
            if own != other:
                losses[2].append(-np.log(1 + TINY - tied))
            elif own == 0:
                losses[0].append(-np.log(tied + TINY))
                losses[4].append(np.abs(apart).mean())
            else:
                losses[1].append(-np.log(tied + TINY))
                losses[3].append(np.abs(apart - np.array([dy, dx])).mean())
    background, objects, different, towards, still = (sum(values) / (len(values) + TINY) for values in losses)
    affinity = 0.5 * (0.5 * background + 0.5 * objects) + 0.5 * different
    return affinity, affinity + 0.5 * towards + 0.5 * still


@pytest.mark.parametrize("seed", range(3))
def test_loss_equals_the_sums_pair_by_pair(seed: int) -> None:
    boundary, labels, moved = drawn(seed)
    alone, both = by_pairs(boundary.numpy(), labels.numpy(), moved.numpy())
    assert pair_loss(boundary, labels, RADIUS)[0].item() == pytest.approx(alone, rel=1e-9)
    assert pair_loss(boundary, labels, RADIUS, moved)[0].item() == pytest.approx(both, rel=1e-9)


def test_one_mean_over_the_batch_not_a_mean_of_the_images() -> None:
    """Public code averages ratios of images with other numbers of pairs, which ranks would too."""
    boundary, labels, _ = drawn(0)
    labels[1, 2:] = IGNORE
    whole = pair_loss(boundary, labels, RADIUS)[0]
    parts = [pair_loss(boundary[i : i + 1], labels[i : i + 1], RADIUS)[0] for i in range(2)]
    assert abs(whole - sum(parts) / 2) > 1e-3


def test_no_known_pair_is_a_loss_of_nothing() -> None:
    boundary = torch.rand(1, 6, 6, requires_grad=True)
    loss, _ = pair_loss(boundary, torch.full((1, 6, 6), IGNORE), RADIUS)
    loss.backward()
    assert loss.item() == 0 and boundary.grad is not None and not boundary.grad.any()


def test_a_boundary_rises_between_two_labels() -> None:
    logits = torch.zeros(1, 8, 8, requires_grad=True)
    labels = torch.zeros(1, 8, 8, dtype=torch.int64)
    labels[:, :, 4:] = 1
    optimiser = torch.optim.SGD([logits], lr=20.0)
    for _ in range(100):
        loss, _ = pair_loss(logits.sigmoid(), labels, 3)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    columns = logits.sigmoid().mean((0, 1))
    assert columns[3:5].min() > 3 * columns[[0, 1, 6, 7]].max()


def test_the_backbone_is_drawn_from_the_seed_and_stays_as_it_was(corpus: str, tmp_path: Path) -> None:
    run = tiny_run(corpus, "irnet", tmp_path)
    fresh, other = build(run), build(run.model_copy(update={"seed": 1}))
    trainer = trained(run)
    assert isinstance(trainer.method, IRNet)
    encoder = trainer.method.frozen["encoder"]
    assert isinstance(encoder, Encoder) and not encoder.training and trainer.method.networks.training
    for name, value in encoder.state_dict().items():
        assert torch.equal(value, fresh.method.frozen["encoder"].state_dict()[name])
    assert any(
        not torch.equal(a, b)
        for a, b in zip(encoder.parameters(), other.method.frozen.parameters(), strict=True)
    )
    assert not any(key.startswith("frozen") for key in trainer.strategy.optimiser_state())


def test_seeds_are_read_from_the_middle_of_a_cell(
    corpus: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They were read from its first pixel, a pixel and a half up and to the left of the boundaries' place."""
    method = build(tiny_run(corpus, "irnet", tmp_path)).method
    read: list[torch.Tensor] = []

    def spied(
        boundary: torch.Tensor, labels: torch.Tensor, radius: int
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        read.append(labels)
        return boundary.sum(), {}

    monkeypatch.setattr("framework.methods.irnet.method.pair_loss", spied)
    mask = torch.arange(8).expand(1, 8, 8).contiguous()
    batch = {"seeds": StreamBatch(["a"], torch.zeros(1, 3, 8, 8), (), mask)}
    next(method.train_step(batch, 0))
    assert read[0].tolist() == [[[2, 6], [2, 6]]]


def test_boundaries_of_a_mirror_image_are_mirrored_whatever_its_width(corpus: str, tmp_path: Path) -> None:
    """Widths that are no multiple of a cell were continued on the other side: the halves lay apart."""
    method = build(tiny_run(corpus, "irnet", tmp_path)).method
    assert isinstance(method, IRNet)
    seen: list[torch.Size] = []
    handle = method.networks["heads"].register_forward_pre_hook(
        lambda module, given: seen.append(given[0].shape)
    )
    image = torch.randn(1, 3, 30, 30)
    assert method.eval().boundaries(image).shape == (1, 8, 8)
    handle.remove()
    assert [shape[2:] for shape in seen] == [(32, 32), (32, 32)]


def test_pictures_smaller_than_the_radius_are_refused(corpus: str, tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"method\.radius: 8 reaches across the whole grid, 8 a side for corpus\.size 32"
    ):
        tiny_run(corpus, "irnet", tmp_path, {"method": {"radius": 8}})


def test_it_starts_from_no_classifier(corpus: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"models.*classifier"):
        build(tiny_run(corpus, "irnet", tmp_path, {"models": {"classifier": f"{corpus}-classifier"}}))
