"""What the values of a mask stand for where they are not class ids: the table of `--mask-values`."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy import ndimage

from framework.core.errors import ConfigError, RowError
from framework.core.labels import IGNORE, Encoding
from framework.imaging.decode import AT_ONCE, MaskPixels, encode_png, read_mask

MOST_VALUES = 255
"""Class ids that a mask can hold."""
MOST_EXACT = 8
"""A lossless file of no more different values is not blurred: each of them means something."""
TOLERANCE = 16
"""A level that is farther from all of the table is another one, unless it lies on a blurred edge."""
FLAT = 8
"""Range of the distances in a square of 3 x 3 pixels that is no edge."""
AREA = 1 / 2000
"""Share of a mask's pixels, on no edge and far from all of the table, that are a value of their own."""
EDGES = 1 / 4
"""Share of a mask's pixels that may lie on blurred edges."""


@dataclass(frozen=True)
class MaskValues:
    """A table of values: the place of each is the class id that it stands for, or the bits."""

    values: tuple[int, ...]
    """Grey levels or palette indices, or colours as 0xRRGGBB."""
    in_colour: bool

    @classmethod
    def parse(cls, text: str) -> Self:
        """From `0,255` or `#000000,#ff0000`; raises `ConfigError`."""
        parts = [part.strip().lower() for part in text.split(",")]
        in_colour = all(re.fullmatch(r"#[0-9a-f]{6}", part) for part in parts)
        if not in_colour and not all(re.fullmatch(r"\d{1,5}", part) for part in parts):
            form = "values by commas, that of class 0 first, all numbers or all colours"
            raise ConfigError(f"mask values '{text}': expected {form}: 0,255 or '#000000,#ff0000'")
        values = tuple(int(part.lstrip("#"), 16 if in_colour else 10) for part in parts)
        if len(set(values)) < len(values) or not 2 <= len(values) <= MOST_VALUES:
            raise ConfigError(f"mask values '{text}': expected 2 to {MOST_VALUES}, each once")
        return cls(values, in_colour)

    def __str__(self) -> str:
        return ",".join(written(value, self.in_colour) for value in self.values)

    def convert(self, data: bytes, encoding: Encoding) -> bytes:
        """An encoded mask as PNG of class ids or bits; raises `RowError` where it holds other values.

        Of a blurred mask (JPEG, or resized) each pixel takes the nearest value. In masks of ids, 255 that is
        not in a table of numbers stays 255.
        """
        pixels = read_mask(data)
        codes, stays = self._codes(pixels), encoding == "ids" and not self.in_colour
        values = self.values + ((IGNORE,) if stays and IGNORE not in self.values else ())
        targets = np.array([*range(len(self.values)), IGNORE], np.uint8)
        counts = count_values(codes)
        seen = np.array(sorted(counts))
        distances = np.stack([distance(seen, value, self.in_colour) for value in values])
        nearest = distances.min(0)
        if others := self._others(codes, seen, nearest, exact=not pixels.lossy and len(seen) <= MOST_EXACT):
            named = ", ".join(written(value, self.in_colour) for value in others[:5])
            raise RowError(f"mask has values that --mask-values {self} does not name: {named}")
        return encode_png(_looked_up(codes, seen, targets[distances.argmin(0)]))

    def _codes(self, pixels: MaskPixels) -> np.ndarray:
        """Pixels in the terms of the table."""
        if self.in_colour:
            return colours(pixels)
        if pixels.in_colour:
            raise RowError(f"mask is in colour and --mask-values {self} are numbers: name its colours")
        return pixels.codes

    def _others(self, codes: np.ndarray, seen: np.ndarray, nearest: np.ndarray, exact: bool) -> list[int]:
        """Values that are none of the table's; on a blurred edge there are some between those that are."""
        if exact:
            return seen[nearest > 0].tolist()
        gaps = [distance(np.array(self.values), value, self.in_colour) for value in self.values]
        tolerance = min(TOLERANCE, np.partition(gaps, 1, axis=1)[:, 1].min() / 4)
        field = _looked_up(codes, seen, nearest.clip(0, 255).astype(np.uint8))
        far = field > tolerance
        flat = ndimage.maximum_filter(field, 3) - ndimage.minimum_filter(field, 3) <= FLAT
        if (far & flat).mean() <= AREA and far.mean() <= EDGES:
            return []
        return [value for value, _ in Counter(count_values(codes[far])).most_common()]


def written(value: int, in_colour: bool) -> str:
    """A value as `--mask-values` takes it."""
    return f"#{value:06x}" if in_colour else str(value)


def colours(pixels: MaskPixels) -> np.ndarray:
    """The colours `[H, W]` of a mask's pixels, as 0xRRGGBB."""
    if pixels.palette is not None:
        return np.take(pixels.palette, pixels.codes)
    return pixels.codes if pixels.in_colour else pixels.codes.astype(np.uint32) * 0x010101


def count_values(codes: np.ndarray) -> dict[int, int]:
    """How many pixels have each value."""
    total: Counter[int] = Counter()
    for part in _parts(codes):
        values, counts = np.unique(part, return_counts=True)
        total.update(dict(zip(values.tolist(), counts.tolist(), strict=True)))
    return dict(total)


def distance(values: np.ndarray, value: int, in_colour: bool) -> np.ndarray:
    """How far values are from one: of colours the channel that differs most counts."""
    if not in_colour:
        return abs(values.astype(np.int64) - value)
    channels = [(values >> shift & 255).astype(np.int64) - (value >> shift & 255) for shift in (16, 8, 0)]
    return np.abs(channels).max(0)


def _parts(codes: np.ndarray) -> Iterator[np.ndarray]:
    """Some pixels at a time: what is made of them takes several times their memory."""
    flat = codes.reshape(-1)
    return (flat[start : start + AT_ONCE] for start in range(0, flat.size, AT_ONCE))


def _looked_up(codes: np.ndarray, seen: np.ndarray, results: np.ndarray) -> np.ndarray:
    """`results[i]` where a code is `seen[i]`."""
    table = np.zeros(int(seen[-1]) + 1, np.uint8)
    table[seen] = results
    return np.concatenate([table[part] for part in _parts(codes)]).reshape(codes.shape)
