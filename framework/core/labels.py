"""The value that masks of every kind share."""

from typing import Final

IGNORE: Final = 255
"""Mask value of pixels that carry no label."""
