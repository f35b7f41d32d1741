from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from framework.core.labels import IGNORE
from framework.loading import patches
from framework.loading.augmentation import AugmentConfig, geometry, levels
from framework.loading.patches import patch_views
from framework.loading.sampler import SampleDraw
from framework.loading.training_set import TrainingSample

STILL = AugmentConfig(flip=False, quarter_turns=False)
SIZE = 32


def sample(depth: int, mask: np.ndarray | None = None) -> TrainingSample:
    """Slice z holds z + 1 everywhere but for a ramp along its columns; the levels leave values as they
    are."""
    image = np.arange(depth)[:, None, None] + 1 + np.zeros((depth, SIZE, SIZE)) + np.arange(SIZE) / 100
    level = torch.tensor([0.0, 1.0]).view(2, 1, 1, 1, 1)
    return TrainingSample(image[None].astype(np.float32), mask, level)


def view(
    prepared: TrainingSample, patch: list[int], epoch: int = 0, views: AugmentConfig = STILL
) -> tuple[torch.Tensor, torch.Tensor]:
    draws = [SampleDraw("a", epoch)]
    image, mask = patch_views([prepared], draws, geometry(draws, views, 0), patch, 0)
    return image[0, 0], mask[0]


@given(
    depth=st.integers(1, 9), rows=st.integers(4, SIZE), columns=st.integers(4, SIZE), epoch=st.integers(0, 50)
)
@settings(max_examples=40, deadline=None)
def test_a_still_patch_is_a_piece_of_the_volume_with_its_mask(
    depth: int, rows: int, columns: int, epoch: int
) -> None:
    mask = (np.arange(depth)[:, None, None] % 3 + np.zeros((depth, SIZE, SIZE))).astype(np.uint8)
    image, labels = view(sample(depth, mask), [4, rows, columns], epoch)
    assert image.shape == labels.shape == (4, rows, columns)
    ramp = image[0, 0] - image[0, 0].floor()
    assert torch.allclose(
        ramp, ramp[0].mul(100).round() / 100 + torch.arange(columns) / 100, atol=1e-4
    )  # on the grid of pixels
    slices = (image[:, 0, 0] - 1).int()
    assert torch.equal(labels, (slices % 3)[:, None, None].expand(-1, rows, columns).long())
    assert len(set(slices.tolist())) >= min(depth, 4) / 2 and slices.diff().abs().max() <= 1


def test_a_volume_goes_on_as_its_mirror_image() -> None:
    """Copies of the last slice had no mask: where they were not left out, they taught what is not there."""
    assert patches.mirrored(-3, 10, 4).tolist() == [2, 1, 0, 0, 1, 2, 3, 3, 2, 1]
    assert patches.mirrored(1, 2, 4).tolist() == [1, 2] and patches.mirrored(-1, 3, 1).tolist() == [0, 0, 0]


def test_what_is_drawn_depends_on_epoch_and_id_alone() -> None:
    first, again, later = (view(sample(9), [4, 16, 16], epoch)[0] for epoch in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, later)


def test_all_slices_get_the_same_map_and_masks_go_along() -> None:
    mask = np.zeros((6, SIZE, SIZE), np.uint8)
    mask[:, 8:20, 4:12] = 1
    image = sample(6, mask)
    image.image[:] = mask
    moved, labels = view(image, [4, SIZE, SIZE], views=AugmentConfig(rotate=40, scale=0.2))
    assert torch.equal(moved[0], moved[3]) and torch.equal(labels[0], labels[3])
    assert ((moved > 0.5) == (labels == 1)).float().mean() > 0.98


def test_half_of_the_labelled_patches_meet_a_rare_class() -> None:
    mask = np.zeros((20, SIZE, SIZE), np.uint8)
    mask[3, 5, 7] = 2
    mask[10:15] = 1
    met = [2 in view(sample(20, mask), [2, 8, 8], epoch)[1] for epoch in range(400)]
    by_chance = 0.5 * 2 / 20 * (8 / SIZE) ** 2
    assert np.mean(met) == pytest.approx(patches.FOREGROUND / 2 + by_chance, abs=0.07)


def test_an_unlabelled_volume_is_ignored_everywhere() -> None:
    assert (view(sample(6), [4, 16, 16])[1] == IGNORE).all()


def test_a_volume_is_standardised_as_a_whole() -> None:
    image = np.random.default_rng(0).normal(7, 3, (1, 8, SIZE, SIZE)).astype(np.float32)
    level = levels(torch.from_numpy(image)[None])[0]
    pixels, _ = view(TrainingSample(image, None, level), [8, SIZE, SIZE])
    assert pixels.mean().item() == pytest.approx(0, abs=1e-3) and pixels.std().item() == pytest.approx(
        1, abs=1e-3
    )
