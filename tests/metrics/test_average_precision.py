"""Area under the precision-recall curve from histograms."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from framework.corpus.bits import planes
from framework.corpus.reader import Sample
from framework.evaluation.pooled import pooled_rows
from framework.metrics.average_precision import AUPR, BINS

AREA = AUPR()
CLASSES = ["background", "spot", "film"]

PIXELS = st.lists(st.tuples(st.integers(0, BINS - 1), st.booleans(), st.booleans()), min_size=1, max_size=60)
"""Bin, truth and whether the truth is known, per pixel."""


def counted(pixels: list[tuple[int, bool, bool]]) -> torch.Tensor:
    """Histograms of one lesion with probabilities in the middle of their bins."""
    probability = (torch.tensor([place for place, _, _ in pixels]) + 0.5) / BINS
    truth, known = (torch.tensor([pixel[i] for pixel in pixels], dtype=torch.bool) for i in (1, 2))
    return AREA.update(probability[None], truth[None], known)


@given(PIXELS)
def test_the_area_is_that_of_sklearn(pixels: list[tuple[int, bool, bool]]) -> None:
    (value,) = AREA.compute(counted(pixels).numpy())
    known = [(place, true) for place, true, sure in pixels if sure]
    if not any(true for _, true in known):
        assert np.isnan(value)
        return
    score, truth = [place for place, _ in known], [true for _, true in known]
    assert value == pytest.approx(average_precision_score(truth, score))


@given(PIXELS, PIXELS)
def test_histograms_of_parts_add_up_to_those_of_the_whole(first: list, second: list) -> None:
    assert torch.equal(counted(first) + counted(second), counted(first + second))


@given(PIXELS, st.integers(1, 4))
def test_a_weight_counts_as_so_many_images(pixels: list, times: int) -> None:
    weighted = AREA.compute(times * counted(pixels).numpy()[None].astype(float))
    assert weighted[0] == pytest.approx(AREA.compute(counted(pixels * times).numpy()), nan_ok=True)


def test_probabilities_at_the_ends_are_counted() -> None:
    counts = AREA.update(
        torch.tensor([[0.0, 1.0, 1.0]]), torch.tensor([[False, True, False]]), torch.ones(3, dtype=torch.bool)
    )
    assert counts.dtype == torch.int32 and counts.shape == (1, 2, BINS)
    assert counts.nonzero().tolist() == [[0, 0, 0], [0, 0, BINS - 1], [0, 1, BINS - 1]]


def sample(mask: list[list[int]], bits: list[list[int]] | None = None) -> Sample:
    truth_bits = None if bits is None else np.array(bits, np.uint8)
    image, shown = np.zeros((2, 2, 3), np.uint8), np.array(mask, np.uint8)
    return Sample("a", "a", "test", None, None, None, image, shown, truth_bits, np.zeros(0, np.int32))


def test_the_truth_is_bits_where_there_are_bits_and_ids_elsewhere() -> None:
    assert planes(torch.tensor([0, 1, 2, 3], dtype=torch.uint8), 2).tolist() == [
        [False, True, False, True],
        [False, False, True, True],
    ]
    probability = torch.full((3, 2, 2), 0.5)
    overlapping = pooled_rows(sample([[0, 1], [2, 2]], [[0, 1], [2, 3]]), probability, CLASSES)
    assert [row["aupr"].reshape(2, BINS).sum(-1).tolist() for row in overlapping] == [[2, 2], [2, 2]]
    disjoint = pooled_rows(sample([[0, 1], [2, 255]]), probability, CLASSES)
    assert [row["aupr"].reshape(2, BINS).sum(-1).tolist() for row in disjoint] == [[2, 1], [2, 1]]
    assert [row["truth"] for row in disjoint] == [1, 1]
