"""What a kind of file is: its suffixes, and how its bytes become slices."""

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

import numpy as np

Spacing = tuple[float, float, float]
"""Millimetres from slice to slice, row to row and column to column."""


class Slices(NamedTuple):
    """What a file holds: slices `[H, W]` or `[H, W, 3]`, uint8 or uint16, and the size of a voxel."""

    slices: list[np.ndarray]
    spacing: Spacing | None = None


class Codec(ABC):
    """A kind of file, with a line in `registry.py`, or of another package (`scantseg.codecs`)."""

    suffixes: ClassVar[tuple[str, ...]]
    """Endings of its files after the dot, in lower case."""
    kept_as_it_is: ClassVar[bool] = False
    """A corpus keeps the file's own bytes; files of other codecs become PNG, which every reader knows."""

    @staticmethod
    @abstractmethod
    def decode(data: bytes) -> Slices:
        """Raises `RowError` with the reason for bytes that cannot be read."""
