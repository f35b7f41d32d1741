"""Plain pictures: a line of rows, columns and millimetres of a pixel, then grey bytes."""

from __future__ import annotations

import numpy as np

from framework.core.errors import RowError
from framework.imaging.codecs.base import Codec, Slices


class PlainCodec(Codec):
    """One slice a file."""

    suffixes = ("plain",)

    @staticmethod
    def decode(data: bytes) -> Slices:
        head, _, pixels = data.partition(b"\n")
        try:
            rows, columns, size = head.split()
            grey = np.frombuffer(pixels, np.uint8).reshape(int(rows), int(columns))
        except ValueError as error:
            raise RowError(f"plain picture cannot be read ({error})") from None
        return Slices([grey], (1.0, float(size), float(size)))
