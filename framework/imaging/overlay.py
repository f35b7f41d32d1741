"""Pictures of cases: image, truth, predictions and maps side by side, as PNG."""

import base64
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from framework.core.labels import IGNORE
from framework.imaging.decode import encode_png
from framework.imaging.resize import resize_mask

PALETTE = ("#56B4E9", "#E69F00", "#CC79A7", "#009E73", "#F0E442", "#D55E00", "#0072B2")
"""Colours of classes 1, 2, … in turn: Okabe and Ito's, told apart by every colour vision."""
SMALLEST, LARGEST = 240, 480
"""Limits of a panel's longer side, in pixels."""
GAP = 6
OPACITY = 0.38
HEAT = ((86, 15, 110), (187, 55, 84), (249, 140, 10), (252, 255, 164))
"""Colours of a map's values from 0 to 1, evenly spaced: matplotlib's `inferno` without its black."""
HEAT_OPACITY = 0.65
"""Opacity of a value of 1; smaller values leave more of the picture."""


def colour_of(class_id: int) -> str:
    """The colour of a foreground class (id from 1) as `#RRGGBB`."""
    return PALETTE[(class_id - 1) % len(PALETTE)]


def panels(image: NDArray[np.integer], *masks: NDArray[np.integer]) -> bytes:
    """PNG of an image and, beside it, each mask over it: classes in colour with a contour, 255 hatched.

    `image` is `[H, W]`, `[H, W, 1]` or `[H, W, 3]`, uint8 (shown as it is) or uint16 (stretched from its
    0.5th to its 99.5th percentile); masks are class ids `[H, W]`.
    """
    base = panel(image)
    return side_by_side([base, *(overlay(base, resize_mask(mask, *base.shape[:2])) for mask in masks)])


def panel(image: NDArray[np.integer], largest: int = LARGEST) -> NDArray[np.uint8]:
    """An image as `panels` takes it, in proportion: its longer side between `SMALLEST` and `largest`."""
    base = as_rgb(image)
    longer = max(base.shape[:2])
    scale = np.clip(longer, SMALLEST, largest) / longer
    height, width = (max(1, round(side * scale)) for side in base.shape[:2])
    return np.asarray(Image.fromarray(base).resize((width, height), Image.Resampling.BICUBIC))


def side_by_side(shown: Sequence[NDArray[np.uint8]]) -> bytes:
    """PNG of panels `[h, w, 3]` of one size, with transparent gaps."""
    height, width = shown[0].shape[:2]
    sheet = np.zeros((height, len(shown) * (width + GAP) - GAP, 4), np.uint8)
    for index, pixels in enumerate(shown):
        left = index * (width + GAP)
        sheet[:, left : left + width] = np.dstack([pixels, np.full((height, width), 255, np.uint8)])
    return encode_png(sheet, compress_level=6)  # 9 takes seven times as long, saves a twentieth


def data_address(png: bytes) -> str:
    """A picture as an address that holds it whole."""
    return "data:image/png;base64," + base64.b64encode(png).decode()


def as_rgb(image: NDArray[np.integer]) -> NDArray[np.uint8]:
    """`[H, W, 3]` uint8 from a grey or colour image of 8 or 16 bits."""
    pixels = np.atleast_3d(image)
    if pixels.dtype != np.uint8:
        low, high = np.percentile(pixels, [0.5, 99.5])
        pixels = (np.clip((pixels - low) / max(high - low, 1), 0, 1) * 255).round().astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(pixels, (*pixels.shape[:2], 3)), np.uint8)


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


def heat(base: NDArray[np.uint8], values: NDArray[np.float32]) -> NDArray[np.uint8]:
    """`base` `[H, W, 3]` under a map `[h, w]` in 0..1, from purple to yellow; 0 shows the base as it is."""
    level = _resized(values, *base.shape[:2])
    places = np.linspace(0, 1, len(HEAT))
    colour = np.stack([np.interp(level, places, channel) for channel in zip(*HEAT, strict=True)], -1)
    opacity = HEAT_OPACITY * np.sqrt(level)[..., None]
    return ((1 - opacity) * base + opacity * colour).round().astype(np.uint8)


def grey(values: NDArray[np.float32], height: int, width: int) -> NDArray[np.uint8]:
    """A map `[h, w]` in 0..1 as a picture `[height, width, 3]`, 1 being white."""
    return as_rgb((_resized(values, height, width) * 255).round().astype(np.uint8))


def _resized(values: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    return np.asarray(Image.fromarray(values).resize((width, height), Image.Resampling.BILINEAR)).clip(0, 1)


def rgb(colour: str) -> NDArray[np.float32]:
    """`[3]` in 0..255 from `#RRGGBB`."""
    return np.array(list(bytes.fromhex(colour.removeprefix("#"))), np.float32)


def evenly(names: Sequence[str], count: int) -> list[str]:
    """At most `count` of some names, evenly spread over their order, the first and the last among them."""
    places = np.linspace(0, len(names) - 1, min(count, len(names))).round().astype(int)
    return [names[int(place)] for place in places]
