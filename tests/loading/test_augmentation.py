from __future__ import annotations

import numpy as np
import pytest
import torch

from framework.core.labels import IGNORE
from framework.loading.augmentation import (
    AugmentConfig,
    change_gain,
    geometry,
    pad_masks,
    standardise,
    strong_view,
    weak_view,
)
from framework.loading.sampler import SampleDraw

DRAWS = [SampleDraw(f"id{i}", i % 3) for i in range(16)]
EVERYTHING = AugmentConfig(rotate=20, scale=0.1, gain=0.2)


def pictures(size: int = 33, count: int = len(DRAWS)) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    masks = torch.randint(0, 5, (count, size, size), generator=generator)
    masks[masks == 4] = IGNORE
    return torch.randn(count, 2, size, size, generator=generator), masks


@pytest.mark.parametrize("size", [32, 33])
def test_flips_and_quarter_turns_are_exact(size: int) -> None:
    images, masks = pictures(size)
    warped, moved = weak_view(images, masks, geometry(DRAWS, AugmentConfig(), seed=0))
    seen = set()
    for i in range(len(DRAWS)):
        views = {
            (k, f): torch.rot90(masks[i].flip(1) if f else masks[i], k)
            for k in range(4)
            for f in (False, True)
        }
        matches = [name for name, view in views.items() if torch.equal(view, moved[i])]
        assert len(matches) == 1
        k, flipped = matches[0]
        image = torch.rot90(images[i].flip(2) if flipped else images[i], k, (1, 2))
        assert torch.allclose(warped[i], image, atol=1e-4)
        seen.add(matches[0])
    assert len(seen) > 4


def test_nothing_to_change_changes_nothing() -> None:
    images, masks = pictures()
    still = AugmentConfig(flip=False, quarter_turns=False)
    warped, moved = weak_view(images, masks, geometry(DRAWS, still, seed=0))
    assert torch.allclose(warped, images, atol=1e-4)
    assert torch.equal(moved, masks)


def test_the_mask_moves_with_the_image() -> None:
    """A block that is bright in the image and labelled in the mask is at one place afterwards."""
    mask = torch.zeros(len(DRAWS), 48, 48, dtype=torch.long)
    mask[:, 8:30, 14:26] = 1
    image = mask[:, None].float()
    warped, moved = weak_view(image, mask, geometry(DRAWS, EVERYTHING, seed=3))
    assert ((warped[:, 0] > 0.5) != (moved == 1)).float().mean() < 0.01
    assert 0.7 < moved.float().mean() / mask.float().mean() < 1.4
    assert not torch.equal(moved, mask)


def test_the_views_of_an_image_depend_on_seed_epoch_and_id_alone() -> None:
    """Not on what else is in the batch, nor where."""
    images, masks = pictures()
    images = standardise(images)

    def views(places: list[int], seed: int = 0) -> list[torch.Tensor]:
        draws = [DRAWS[i] for i in places]
        weak, mask = weak_view(images[places], masks[places], geometry(draws, EVERYTHING, seed))
        return [change_gain(weak, draws, 0.2, seed, "gain"), strong_view(weak, draws, EVERYTHING, seed), mask]

    every = views(list(range(16)))
    for places in ([5], [9, 5], [15, 3, 5, 0]):
        for alone, among in zip(views(places), every, strict=True):
            assert torch.equal(alone[places.index(5)], among[5])
    assert not torch.equal(views([5], seed=1)[2][0], every[2][5])


@pytest.mark.parametrize("other", [SampleDraw("id5", 1), SampleDraw("id6", 2)])
def test_another_epoch_or_image_is_drawn_anew(other: SampleDraw) -> None:
    one = SampleDraw("id5", 2)
    assert not torch.equal(geometry([one], EVERYTHING, 0), geometry([other], EVERYTHING, 0))
    image = torch.randn(1, 1, 32, 32)
    assert not torch.equal(
        strong_view(image, [one], EVERYTHING, 0), strong_view(image, [other], EVERYTHING, 0)
    )


def test_a_strong_view_stays_near_its_weak_view() -> None:
    images = standardise(pictures(64)[0])
    strong = strong_view(images, DRAWS, AugmentConfig(strong=0.5, blur=1.5), 0)
    assert strong.shape == images.shape
    assert torch.isfinite(strong).all()
    means = strong.mean((2, 3))
    assert means.abs().max() <= 0.5 + 1e-4
    blurred = strong.std((2, 3)) < 0.6 * images.std((2, 3))
    assert 0 < blurred.float().mean() < 1
    assert torch.equal(strong_view(images, DRAWS, AugmentConfig(strong=0, blur=0), 0), images)


def test_standardised_images_have_zero_mean_and_unit_deviation() -> None:
    images = pictures()[0] * 40 + 100
    images[3] = 7.0  # constant
    standard = standardise(images)
    assert standard.mean((2, 3)).abs().max() < 1e-4
    assert torch.allclose(standard.std((2, 3), correction=0)[[0, 1, 2]], torch.ones(3, 2), atol=1e-4)
    assert torch.equal(standard[3], torch.zeros_like(standard[3]))


def test_a_missing_mask_is_ignored_everywhere() -> None:
    masks = pad_masks([np.ones((8, 8), np.uint8), None], (8, 8))
    assert (masks[0] == 1).all()
    assert (masks[1] == IGNORE).all()
