"""How well maps outline what masks show."""

from __future__ import annotations

import numpy as np
import pytest

from framework.labelling.quality import THRESHOLDS, overlaps


def test_the_best_cut_of_a_map_with_one_high_peak_is_tried() -> None:
    """A walk gathers evidence in few places; the largest value is 1, most of the object is far below."""
    mask, evidence = np.zeros((4, 4), np.uint8), np.full((4, 4), 0.01, np.float32)
    mask[1:3], evidence[1:3], evidence[1, 1] = 1, 0.08, 1.0
    scores = overlaps(evidence, mask, 1, THRESHOLDS)
    assert THRESHOLDS[scores.index(max(scores))] == 0.05 and max(scores) == 1


def test_cuts_are_even() -> None:
    assert np.diff(THRESHOLDS) == pytest.approx(np.full(len(THRESHOLDS) - 1, 0.05)) and THRESHOLDS[-1] == 0.95
