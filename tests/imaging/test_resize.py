"""Pictures and masks at another size."""

from __future__ import annotations

import numpy as np
import pytest

from framework.imaging.resize import resize_image, resize_mask


@pytest.mark.parametrize(("height", "width"), [(7, 5), (24, 40)])
def test_a_mask_of_another_size_has_no_new_class(height: int, width: int) -> None:
    mask = np.zeros((16, 10), np.uint8)
    mask[:8], mask[:, 5:] = 3, 200
    resized = resize_mask(mask, height, width)
    assert resized.shape == (height, width) and set(np.unique(resized)) == {0, 3, 200}
    assert resized[0, 0] == 3 and resized[0, -1] == 200 and resized[-1, 0] == 0


def test_a_smaller_picture_is_the_mean_of_its_pixels() -> None:
    """Not every other pixel, and in as many bits as it has."""
    stripes = np.tile(np.array([0, 4000], np.uint16), (32, 16))[..., None]
    small = resize_image(stripes, 8)
    assert small.shape == (1, 8, 8) and small.dtype == np.float32
    assert np.allclose(small, 2000, rtol=0.1)
    assert resize_image(np.zeros((5, 9, 3), np.uint8), 4).dtype == np.uint8
