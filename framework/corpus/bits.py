"""Masks of lesions that may overlap: one bit of a pixel for each, 255 where nothing is claimed."""

import numpy as np
import torch
from torch import Tensor

from framework.core.errors import CorpusError
from framework.core.labels import IGNORE
from framework.corpus.schema import CorpusInfo

MOST_LESIONS = 7
"""With an eighth, 255 could also be a pixel of all lesions."""
BITS = np.array([0, *(1 << bit for bit in range(MOST_LESIONS)), *[IGNORE] * (255 - MOST_LESIONS)], np.uint8)
"""Lesion bits of each class id."""


def require_bits(info: CorpusInfo, disjoint: bool) -> None:
    """Raise `CorpusError` where masks cannot say that lesions overlap and nobody said that they never do."""
    if info.encoding == "ids" and not disjoint:
        fault = "holds one class a pixel, and this method's lesions may overlap"
        pack = "pack masks of bits (`scantseg corpus build --bits`)"
        mend = f"{pack}, or set corpus.disjoint=true if they never do"
        raise CorpusError(f"corpus '{info.name}' {fault}; {mend}")
    if (lesions := len(info.classes) - 1) > MOST_LESIONS:
        limit = f"methods of overlapping lesions take {MOST_LESIONS} at most"
        raise CorpusError(f"corpus '{info.name}' has {lesions} lesions; {limit}")


def as_bits(ids: np.ndarray | None) -> np.ndarray | None:
    """Class ids `[H, W]` as lesion bits; 255 stays."""
    return None if ids is None else BITS[ids]


def planes(bits: Tensor, lesions: int) -> Tensor:
    """Bool `[lesions, ...]` from a mask of bits `[...]`: plane i is bit i."""
    return torch.stack([(bits >> bit & 1).bool() for bit in range(lesions)])
