"""The random walk against the dense matrix it stands for, and what is always true (methods/README 2.11)."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from framework.labelling.walk.walk import transitions, walk
from framework.methods.irnet.affinity import affinities, offsets, path

SHORT = {"radius": 3, "doublings": 4}


def dense(boundary: np.ndarray, radius: int, beta: float) -> np.ndarray:
    """T of one image `[N, N]`, pair by pair."""
    height, width = boundary.shape
    matrix = np.eye(height * width)
    for y, x in np.ndindex(height, width):
        for dy, dx in offsets(radius):
            if 0 <= y + dy < height and 0 <= x + dx < width:
                tied = 1 - max(boundary[y + py, x + px] for py, px in path((dy, dx)))
                i, j = y * width + x, (y + dy) * width + x + dx
                matrix[i, j] = matrix[j, i] = tied**beta
    return matrix / matrix.sum(0)


def drawn(
    seed: int, images: int = 2, size: tuple[int, int] = (8, 8), classes: int = 2
) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    maps = torch.rand(images, classes, *size, generator=generator, dtype=torch.float64)
    return maps, torch.rand(images, *size, generator=generator, dtype=torch.float64) ** 4


def test_pairs_and_paths_have_the_published_numbers() -> None:
    assert (len(offsets(5)), len(offsets(10))) == (34, 152)
    assert {len(path(offset)) for offset in offsets(10)} <= set(range(2, 23))
    assert all((0, 0) in path(offset) and offset in path(offset) for offset in offsets(10))


@pytest.mark.parametrize(("radius", "beta", "doublings"), [(5, 10.0, 8), (3, 2.0, 3)])
@pytest.mark.parametrize("size", [(8, 8), (5, 11)])
def test_the_walk_is_the_power_of_the_dense_matrix(
    radius: int, beta: float, doublings: int, size: tuple[int, int]
) -> None:
    maps, boundary = drawn(0, size=size)
    after = walk(maps, boundary, radius, beta, doublings)
    for i in range(len(maps)):
        power = np.linalg.matrix_power(dense(boundary[i].numpy(), radius, beta), 2**doublings)
        start = (maps[i] * (1 - boundary[i])).flatten(1).numpy()
        assert after[i].flatten(1).numpy() == pytest.approx(start @ power, rel=1e-9, abs=1e-12)


def test_affinities_are_symmetric_within_bounds_and_closed_at_the_frame() -> None:
    _, boundary = drawn(1)
    tied = affinities(boundary, 5)
    assert tied.min() >= 0 and tied.max() <= 1
    for place, (dy, dx) in enumerate(offsets(5)):
        assert dy == 0 or not tied[:, place, -dy:].any()
        assert dx <= 0 or not tied[:, place, :, -dx:].any()
        assert dx >= 0 or not tied[:, place, :, :-dx].any()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 999))
def test_a_step_shares_out_what_there_is_and_never_exceeds_the_largest(seed: int) -> None:
    maps, boundary = drawn(seed)
    stay, taken = transitions(boundary, 3, 10.0)
    assert torch.allclose(stay + torch.stack(list(taken.values())).sum(0), torch.ones_like(stay))
    assert walk(maps, boundary, **SHORT).max() <= (maps * (1 - boundary)[:, None]).max() + 1e-12


def test_without_boundaries_an_even_map_stays_as_it_is() -> None:
    after = walk(torch.full((1, 1, 9, 7), 0.3), torch.zeros(1, 9, 7), **SHORT)
    assert torch.allclose(after, torch.full_like(after, 0.3))


def test_nothing_passes_a_closed_wall() -> None:
    boundary, maps = torch.zeros(1, 12, 12), torch.zeros(1, 1, 12, 12)
    boundary[:, 3, 3:9] = boundary[:, 8, 3:9] = boundary[:, 3:9, 3] = boundary[:, 3:9, 8] = 1
    maps[:, :, 5:7, 5:7] = 1
    after = walk(maps, boundary)
    outside = torch.ones(12, 12, dtype=torch.bool)
    outside[3:9, 3:9] = False
    assert after[0, 0, 4:8, 4:8].min() > 0 and not after[0, 0][outside].any()


def test_images_of_a_batch_do_not_meet() -> None:
    maps, boundary = drawn(2)
    assert torch.allclose(walk(maps, boundary, **SHORT)[1:], walk(maps[1:], boundary[1:], **SHORT))
