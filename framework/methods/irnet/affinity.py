"""Pairs of neighbouring pixels and their affinity (IRNet, Ahn et al., CVPR 2019; methods/README 2.5)."""

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

Offset = tuple[int, int]
"""Rows down and columns right, from the first pixel of a pair to the second."""


@cache
def offsets(radius: int) -> tuple[Offset, ...]:
    """Every pair within a radius once: half a disc; 34 offsets for radius 5, 152 for 10."""
    beside = [(0, x) for x in range(1, radius)]
    below = [(y, x) for y in range(1, radius) for x in range(1 - radius, radius)]
    return (*beside, *((y, x) for y, x in below if x * x + y * y < radius * radius))


@cache
def path(offset: Offset) -> tuple[Offset, ...]:
    """The cells less than a pixel from the straight line of a pair, within its box, both ends included."""
    dy, dx = offset
    rows, columns = range(min(0, dy), max(0, dy) + 1), range(min(0, dx), max(0, dx) + 1)
    return tuple((y, x) for y in rows for x in columns if (dy * x - dx * y) ** 2 < dy * dy + dx * dx)


def partners(values: Tensor, radius: int, fill: float = 0) -> Tensor:
    """The value of each pair's second pixel, `[..., P, h, w]` from maps `[..., h, w]`; `fill` outside."""
    reach, (height, width) = radius - 1, values.shape[-2:]
    padded = F.pad(values, (reach, reach, 0, reach), value=fill)
    shifted = [padded[..., y : y + height, reach + x : reach + x + width] for y, x in offsets(radius)]
    return torch.stack(shifted, dim=-3)


def affinities(boundary: Tensor, radius: int) -> Tensor:
    """1 minus the largest boundary on a pair's path, `[B, P, h, w]` for P offsets and boundaries `[B, h, w]`.

    Entry p of a pixel is its affinity to the partner at `offsets(radius)[p]`; 0 where that lies outside.
    """
    reach, (height, width) = radius - 1, boundary.shape[1:]
    padded = F.pad(boundary, (reach, reach, 0, reach), value=1.0)
    pairs = []
    for offset in offsets(radius):
        cells = [padded[:, y : y + height, reach + x : reach + x + width] for y, x in path(offset)]
        pairs.append(1 - torch.stack(cells).amax(0))
    return torch.stack(pairs, dim=1)
