"""Seeds: what maps are sure of (methods/README 2.11, 5)."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from framework.core.labels import IGNORE
from framework.corpus.schema import NO_MASK
from framework.labelling.cutting import cut
from framework.labelling.seeds.config import SIDE, CrfConfig
from framework.labelling.seeds.seed import eight_bit, seed_row, seeds

PICTURE = torch.zeros(1, 6, 6)
CUT = st.floats(0.0, 1.0)


def maps(seed: int) -> torch.Tensor:
    return torch.rand(2, 6, 6, generator=torch.Generator().manual_seed(seed))


@given(st.integers(0, 1000), CUT, CUT, CUT, CUT)
def test_stricter_thresholds_only_take_labels_away(
    seed: int, first: float, second: float, third: float, fourth: float
) -> None:
    lowest, low, high, highest = sorted((first, second, third, fourth))
    before, after = (
        seeds(maps(seed), PICTURE, high, low, None),
        seeds(maps(seed), PICTURE, highest, lowest, None),
    )
    assert ((after == before) | (after == IGNORE)).all()


@given(st.integers(0, 1000), CUT)
def test_equal_thresholds_leave_nothing_open(seed: int, threshold: float) -> None:
    labels = seeds(maps(seed), PICTURE, threshold, threshold, None)
    assert (labels != IGNORE).all() and set(labels.unique().tolist()) <= {0, 1, 2}


def test_both_are_made_to_fit_the_picture() -> None:
    picture = torch.zeros(1, 16, 16)
    picture[:, 4:12, 4:12] = 200
    evidence = torch.zeros(1, 16, 16)
    evidence[:, 4:12, 4:10] = 0.5
    labels = seeds(evidence, picture, 0.3, 0.05, CrfConfig(alike_width=SIDE))
    assert torch.equal(labels, (picture[0] > 0).long())
    assert not torch.equal(seeds(evidence, picture, 0.3, 0.05, None), labels)


def test_a_picture_has_the_same_seeds_at_another_size_and_keeps_what_is_open() -> None:
    """The CRF's widths shrink with the picture; as they stand, they would leave nothing open."""
    rows, columns = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    apart = ((rows - 30) ** 2 + (columns - 36) ** 2).sqrt()
    speckle = 6 * torch.randn(64, 64, generator=torch.Generator().manual_seed(0))
    picture, evidence = torch.where(apart < 14, 60.0, 120.0) + speckle, (1 - apart / 24).clamp_min(0)
    large, small = (
        seeds(resized(evidence, n), resized(picture, n), 0.3, 0.05, CrfConfig()) for n in (64, 32)
    )
    assert (large != small.repeat_interleave(2, 0).repeat_interleave(2, 1)).float().mean() < 0.06
    assert (large == IGNORE).float().mean() > 0.1


def resized(values: torch.Tensor, side: int) -> torch.Tensor:
    return torch.nn.functional.interpolate(values[None, None], (side, side), mode="area")[0]


def test_a_deep_picture_is_stretched_and_a_plain_one_is_not() -> None:
    plain, deep = torch.tensor([[[10.0, 90.0]]]), torch.tensor([[[1000.0, 5000.0]]])
    assert torch.equal(eight_bit(plain), plain)
    assert torch.allclose(eight_bit(deep), torch.tensor([[[0.0, 255.0]]]))
    assert torch.equal(eight_bit(torch.full((1, 2, 2), 3000.0)), torch.zeros(1, 2, 2))  # and not NaN


def test_an_image_in_which_no_class_is_sure_counts_as_one_without_a_label() -> None:
    unsure, sure = np.full((4, 4), IGNORE, np.uint8), np.zeros((4, 4), np.uint8)
    unsure[0], sure[0] = 0, 2
    batch = {"seeds": [unsure, sure], "shape": [(8, 6), (8, 6)]}
    assert [seed_row(batch, i)["kind"] for i in range(2)] == [NO_MASK, "seed"]
    assert seed_row(batch, 0)["kept"] == 0.25


def test_a_mask_is_of_the_strongest_class_over_the_threshold_and_background_without_maps() -> None:
    first, second = np.zeros((2, 2), np.float32), np.zeros((2, 2), np.float32)
    first[0], second[0, 1], second[1, 0] = 0.5, 0.9, 0.2
    assert cut({2: first, 4: second}, (2, 2), 0.3).tolist() == [[2, 4], [0, 0]]
    assert cut({}, (3, 2), 0.3).tolist() == [[0, 0]] * 3
