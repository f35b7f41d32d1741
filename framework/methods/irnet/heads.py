"""The heads of IRNet (Ahn et al., CVPR 2019; methods/README 2.5), from levels to a grid of stride 4."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

STRIDE = 4
"""Side of a cell of the grid, in pixels of the image."""


def cells(side: int) -> int:
    """Number of the grid's cells along a side, in pixels."""
    return -(-side // STRIDE)


def grid_of(image: Tensor) -> tuple[int, int]:
    """Rows and columns of the grid of images `[B, C, H, W]`."""
    return cells(image.shape[2]), cells(image.shape[3])


class Heads(nn.Module):
    """The boundary head, and with `displacement` the displacement head."""

    def __init__(self, widths: Sequence[int], stride: int, displacement: bool) -> None:
        """`widths` of the levels, and the `stride` of the coarsest."""
        super().__init__()
        self.stride = stride
        self.boundary = BoundaryHead(widths)
        self.displacement = DisplacementHead(widths) if displacement else None

    def forward(self, image: Tensor, *levels: Tensor) -> tuple[Tensor, ...]:
        """Boundary logits `[B, h, w]`, and displacements `[B, 2, h, w]`: (rows, columns) on the grid.

        The levels are of the image enlarged to a multiple of the encoder's stride; the rest is cut off.
        """
        rows, columns = grid_of(image)
        height, width = (-(-side // self.stride) * self.stride // STRIDE for side in image.shape[2:])
        heads = [head for head in (self.boundary, self.displacement) if head is not None]
        return tuple(head(levels, (height, width))[..., :rows, :columns] for head in heads)


class BoundaryHead(nn.Module):
    """Every level in 32 channels on the grid, and one convolution over all of them."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.reduce = nn.ModuleList(_reduced(inputs, 32) for inputs in widths)
        self.decide = nn.Conv2d(32 * len(widths), 1, 1)

    def forward(self, levels: Sequence[Tensor], grid: tuple[int, int]) -> Tensor:
        return self.decide(_gathered(self.reduce, levels, grid))[:, 0]


class DisplacementHead(nn.Module):
    """To the centre of a place's instance; the coarse levels join on half the grid, then the fine."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        fine, coarse = (64, 128), (256, 256)
        self.fine = nn.ModuleList(_reduced(a, b) for a, b in zip(widths[:2], fine, strict=True))
        self.coarse = nn.ModuleList(_reduced(a, b) for a, b in zip(widths[2:], coarse, strict=True))
        self.join = _reduced(sum(coarse), 256)
        last = _reduced(sum(fine) + 256, 256)
        self.decide = nn.Sequential(last, nn.ReLU(), nn.Conv2d(256, 2, 1, bias=False))

    def forward(self, levels: Sequence[Tensor], grid: tuple[int, int]) -> Tensor:
        half = (-(-grid[0] // 2), -(-grid[1] // 2))
        coarse = self.join(_gathered(self.coarse, levels[2:], half))
        fine = _gathered(self.fine, levels[:2], grid)
        return self.decide(torch.cat([fine, torch.relu(_resized(coarse, grid))], dim=1))


def _reduced(inputs: int, outputs: int) -> nn.Module:
    """A 1 x 1 convolution; the authors make 4, 8, 16, 16 groups of 32, 64, 128, 256 channels."""
    norm = nn.GroupNorm(min(outputs // 8, 16), outputs)
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, bias=False), norm)


def _gathered(parts: nn.ModuleList, levels: Sequence[Tensor], grid: tuple[int, int]) -> Tensor:
    """Every level through its part, on one grid."""
    pairs = zip(parts, levels, strict=True)
    return torch.cat([torch.relu(_resized(part(level), grid)) for part, level in pairs], dim=1)


def _resized(features: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(features, size, mode="bilinear", align_corners=False)
