"""Images of any size for networks whose levels halve the resolution."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor


def enlarged(image: Tensor, strides: Sequence[int]) -> Tensor:
    """Images or volumes `[B, C, …]`, continued by the border's value to multiples of the strides."""
    short = [-size % stride for size, stride in zip(image.shape[2:], strides, strict=True)]
    pad = [n for missing in reversed(short) for n in (0, missing)]
    return F.pad(image, pad, mode="replicate") if any(pad) else image
