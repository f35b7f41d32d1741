from __future__ import annotations

import numpy as np
import pytest

from framework.core.labels import IGNORE
from framework.imaging.decode import decode_mask
from framework.labelling.pseudolabel import pseudo_row


def test_pixels_under_the_confidence_claim_nothing() -> None:
    first = np.array([[0.9, 0.6], [0.8, 0.1]], np.float32)
    batch = {"probability": np.stack([first, 1 - first])[None], "shape": np.array([[2, 2]], np.int32)}
    row = pseudo_row(batch, 0, confidence=0.8)
    assert decode_mask(row["mask"], (2, 2), 2, "ids").tolist() == [[0, IGNORE], [0, 1]]
    assert row["kept"] == 0.75
    assert (row["predicted_pixels"], row["kept_pixels"]) == ([3, 1], [2, 1])
    assert row["confidence"] == pytest.approx(np.mean([0.9, 0.6, 0.8, 0.9]))
