"""What masks of every kind share."""

from typing import Final, Literal

Encoding = Literal["ids", "bits"]
"""What a mask pixel is: a class id, or bit i for lesion i + 1, so that lesions may overlap."""
IGNORE: Final = 255
"""Mask value of pixels that carry no label."""
