from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from framework.imaging.overlay import (
    GAP,
    HEAT,
    LARGEST,
    PALETTE,
    SMALLEST,
    colour_of,
    grey,
    heat,
    panel,
    panels,
    rgb,
)


def draw(image: np.ndarray, truth: np.ndarray, predicted: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    sheet = np.asarray(Image.open(io.BytesIO(panels(image, truth, predicted))))
    width = (sheet.shape[1] - 2 * GAP) // 3
    return sheet, [sheet[:, i * (width + GAP) :][:, :width, :3] for i in range(3)]


def square(size: int, class_id: int) -> np.ndarray:
    mask = np.zeros((size, size), np.uint8)
    mask[size // 4 : size // 2, size // 4 : size // 2] = class_id
    return mask


@pytest.mark.parametrize("shape", [(64, 64), (64, 64, 1), (64, 64, 3), (30, 64), (1, 1)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_every_kind_of_image(shape, dtype):
    image = (np.arange(np.prod(shape)).reshape(shape) * 7 % np.iinfo(dtype).max).astype(dtype)
    empty = np.zeros(shape[:2], np.uint8)
    sheet, (left, *_) = draw(image, empty, empty)
    assert sheet.dtype == np.uint8 and max(left.shape[:2]) == SMALLEST
    assert left.shape[0] / left.shape[1] == pytest.approx(shape[0] / shape[1], rel=0.01)


def test_large_images_are_shrunk():
    empty = np.zeros((600, 1200), np.uint8)
    assert draw(empty, empty, empty)[1][0].shape == (LARGEST // 2, LARGEST, 3)


def test_masks_are_drawn_where_they_are():
    image = np.full((48, 48), 90, np.uint8)
    _, (left, truth, predicted) = draw(image, square(48, 1), np.zeros((48, 48), np.uint8))
    assert (left == 90).all() and (predicted == 90).all()
    inside, edge, outside = truth[90, 90], truth[60, 90], truth[30, 30]
    assert (outside == 90).all() and (edge == rgb(colour_of(1))).all() and not (inside == 90).all()


def test_a_dark_sixteen_bit_image_becomes_visible():
    image = np.linspace(0, 900, 48 * 48).reshape(48, 48).astype(np.uint16)
    empty = np.zeros((48, 48), np.uint8)
    assert draw(image, empty, empty)[1][0].max() == 255


def test_ignored_pixels_are_hatched():
    image = np.zeros((48, 48), np.uint8)
    _, (_, truth, _) = draw(image, square(48, 255), image)
    hatched = (truth[65:115, 65:115] == 255).all(-1).mean()
    assert 0.15 < hatched < 0.35
    assert set(np.unique(truth)) == {0, 255}  # between the lines the picture itself is seen


def test_heat_leaves_zero_alone_and_covers_one_most():
    base = np.full((40, 60, 3), 100, np.uint8)
    drawn = heat(base, np.array([[0.0, 0.5, 1.0]], np.float32)).astype(int)
    assert drawn.shape == base.shape and (drawn[:, :8] == 100).all()
    changed = np.abs(drawn - 100).sum(-1)[0]
    assert changed[30] > changed[15] > 0 and changed[-1] == changed.max()
    hottest = np.array(HEAT[-1]) - 100
    assert (np.sign(drawn[0, -1] - 100) == np.sign(hottest)).all()


def test_grey_levels_are_the_values():
    assert (grey(np.array([[0.0, 1.0]], np.float32), 8, 8)[:, [0, -1]] == [[0] * 3, [255] * 3]).all()


def test_a_panel_may_be_kept_small():
    assert panel(np.zeros((600, 1200), np.uint8), SMALLEST).shape == (SMALLEST // 2, SMALLEST, 3)


def test_palette():
    assert len(set(PALETTE)) == len(PALETTE) and colour_of(1) == PALETTE[0] == colour_of(len(PALETTE) + 1)
