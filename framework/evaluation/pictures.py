"""Pictures of cases: image, truth and predictions side by side, as PNG."""

from __future__ import annotations

import base64
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from framework.evaluation.metrics import IGNORE

PALETTE = ("#56B4E9", "#E69F00", "#CC79A7", "#009E73", "#F0E442", "#D55E00", "#0072B2")
"""Colours of classes 1, 2, …, repeated when there are more: Okabe and Ito's set, told apart with every kind of colour vision."""

SMALLEST, LARGEST = 240, 480
"""Limits of a panel's longer side, in pixels."""

GAP = 6
OPACITY = 0.38


def colour_of(class_id: int) -> str:
    """The colour of a foreground class (id from 1) as `#RRGGBB`."""
    return PALETTE[(class_id - 1) % len(PALETTE)]


def panels(image: NDArray[np.integer], *masks: NDArray[np.integer]) -> bytes:
    """PNG of the image and beside it each mask over it (truth, prediction, …), classes as translucent colour with a contour.

    `image` is `[H, W]`, `[H, W, 1]` or `[H, W, 3]`, uint8 (shown as it is) or uint16 (stretched from its 0.5th to its 99.5th
    percentile); the masks are class ids `[H, W]`, where 255 is hatched. The gaps between the panels are transparent.
    """
    base = as_rgb(image)
    height, width = panel_size(*base.shape[:2])
    base = np.asarray(Image.fromarray(base).resize((width, height), Image.Resampling.BICUBIC))
    shown = [base, *(overlay(base, resize_mask(mask, height, width)) for mask in masks)]
    sheet = np.zeros((height, len(shown) * (width + GAP) - GAP, 4), np.uint8)
    for index, panel in enumerate(shown):
        left = index * (width + GAP)
        sheet[:, left : left + width] = np.dstack([panel, np.full((height, width), 255, np.uint8)])
    buffer = io.BytesIO()
    Image.fromarray(sheet).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def data_address(png: bytes) -> str:
    """A picture as an address that holds it whole."""
    return "data:image/png;base64," + base64.b64encode(png).decode()


def as_rgb(image: NDArray[np.integer]) -> NDArray[np.uint8]:
    """`[H, W, 3]` uint8 from a grey or colour image of 8 or 16 bits."""
    pixels = image[..., None] if image.ndim == 2 else image
    if pixels.dtype != np.uint8:
        low, high = np.percentile(pixels, [0.5, 99.5])
        pixels = (np.clip((pixels - low) / max(high - low, 1), 0, 1) * 255).round().astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(pixels, (*pixels.shape[:2], 3)), np.uint8)


def panel_size(height: int, width: int) -> tuple[int, int]:
    """Height and width of a panel that keeps the proportions, with the longer side between `SMALLEST` and `LARGEST`."""
    longer = max(height, width)
    scale = np.clip(longer, SMALLEST, LARGEST) / longer
    return max(1, round(height * scale)), max(1, round(width * scale))


def resize_mask(mask: NDArray[np.integer], height: int, width: int) -> NDArray[np.uint8]:
    """The mask at another size, without new class ids."""
    resized = Image.fromarray(mask.astype(np.uint8)).resize((width, height), Image.Resampling.NEAREST)
    return np.asarray(resized)


def overlay(base: NDArray[np.uint8], mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """`base` `[H, W, 3]` with the classes of `mask` `[H, W]` drawn over it."""
    drawn = base.astype(np.float32)
    for class_id in np.unique(mask[(mask > 0) & (mask != IGNORE)]):
        region = mask == class_id
        colour = rgb(colour_of(int(class_id)))
        drawn[region] = (1 - OPACITY) * drawn[region] + OPACITY * colour
        inside = np.asarray(ndimage.binary_erosion(region, iterations=2), np.bool_)
        drawn[region & ~inside] = colour
    rows, columns = np.indices(mask.shape)
    drawn[(mask == IGNORE) & ((rows + columns) % 8 < 2)] = 255
    return drawn.round().astype(np.uint8)


def rgb(colour: str) -> NDArray[np.float32]:
    """`[3]` in 0..255 from `#RRGGBB`."""
    return np.array(list(bytes.fromhex(colour.removeprefix("#"))), np.float32)
