"""Mean field against the sums it stands for, written pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from framework.labelling.seeds.config import SIDE, CrfConfig
from framework.labelling.seeds.crf import refine

PIXEL = SIDE / 7
"""Of pictures of seven columns, in those that widths are stated in."""
CONFIG = CrfConfig(
    steps=3,
    near_width=1.5 * PIXEL,
    near_weight=2.0,
    alike_width=4.0 * PIXEL,
    alike_levels=20.0,
    alike_weight=3.0,
)


def by_pixels(labels: np.ndarray, classes: int, picture: np.ndarray, config: CrfConfig) -> np.ndarray:
    """The labels `[h, w]` after mean field, every tie of two pixels on its own."""
    places = list(np.ndindex(labels.shape))
    near, alike = np.zeros((2, len(places), len(places)))
    for i, a in enumerate(places):
        for j, b in enumerate(places):
            apart = ((a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2) * PIXEL**2
            look = sum((float(channel[a]) - float(channel[b])) ** 2 for channel in picture)
            near[i, j] = np.exp(-apart / (2 * config.near_width**2))
            alike[i, j] = np.exp(-apart / (2 * config.alike_width**2) - look / (2 * config.alike_levels**2))
    ties = [weight * k / np.sqrt(np.outer(k.sum(1), k.sum(1))) for weight, k in ((2.0, near), (3.0, alike))]
    unary = np.full((len(places), classes), (1 - config.certainty) / (classes - 1))
    unary[np.arange(len(places)), labels.ravel()] = config.certainty
    belief = unary
    for _ in range(config.steps):
        score = unary * np.exp((ties[0] + ties[1]) @ belief)
        belief = score / score.sum(1, keepdims=True)
    return belief.argmax(1).reshape(labels.shape)


def drawn(seed: int, channels: int = 3) -> tuple[Tensor, Tensor]:
    """Labels `[2, 6, 7]` of three classes with errors in them, and a picture of two halves."""
    generator = torch.Generator().manual_seed(seed)
    picture = torch.randint(0, 40, (channels, 6, 7), generator=generator).float()
    picture[:, :, 3:] += 100
    labels = torch.zeros(2, 6, 7, dtype=torch.int64)
    labels[:, :, 3:] = 1
    wrong = torch.rand(labels.shape, generator=generator) < 0.25
    return torch.where(wrong, torch.randint(0, 3, labels.shape, generator=generator), labels), picture


@pytest.mark.parametrize("seed", range(4))
def test_equals_the_sums_pixel_by_pixel_for_several_labellings_at_once(seed: int) -> None:
    labels, picture = drawn(seed)
    fitted = refine(labels, 3, picture, CONFIG)
    for given, refined in zip(labels, fitted, strict=True):
        assert np.array_equal(refined.numpy(), by_pixels(given.numpy(), 3, picture.numpy(), CONFIG))
    assert not torch.equal(fitted, labels)


def test_a_grey_picture_counts_as_three_equal_channels() -> None:
    labels, picture = drawn(5, channels=1)
    assert torch.equal(
        refine(labels, 3, picture, CONFIG), refine(labels, 3, picture.expand(3, -1, -1), CONFIG)
    )


def test_labels_follow_the_picture() -> None:
    """A bright square of which the labels show a part, on a picture that is tied together as a whole."""
    picture = torch.zeros(1, 16, 16)
    picture[:, 4:12, 4:12] = 200
    labels = torch.zeros(1, 16, 16, dtype=torch.int64)
    labels[:, 4:12, 4:10] = 1
    assert torch.equal(refine(labels, 2, picture, CrfConfig(alike_width=SIDE))[0], (picture[0] > 0).long())


def test_without_ties_the_labels_stay() -> None:
    labels, picture = drawn(6)
    assert torch.equal(refine(labels, 3, picture, CrfConfig(near_weight=0, alike_weight=0)), labels)
