"""The heads of IRNet (Ahn et al., CVPR 2019; methods/README 2.5) over the levels of an encoder, on a grid of stride 4.

The paper's ResNet gives five levels, two of them at its lowest resolution; our encoders give four.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

STRIDE = 4
"""Of the grid, in pixels of the image."""


def cells(side: int) -> int:
    """Of the grid, along so many pixels."""
    return -(-side // STRIDE)


def grid_of(image: Tensor) -> tuple[int, int]:
    """Rows and columns of the grid of images `[B, C, H, W]`."""
    return cells(image.shape[2]), cells(image.shape[3])


class Heads(nn.Module):
    """The boundary head, and the displacement head where it is wanted."""

    def __init__(self, widths: Sequence[int], stride: int, displacement: bool) -> None:
        """`widths` of the levels, and the `stride` of the coarsest."""
        super().__init__()
        self.stride = stride
        self.boundary = BoundaryHead(widths)
        self.displacement = DisplacementHead(widths) if displacement else None

    def forward(self, image: Tensor, *levels: Tensor) -> tuple[Tensor, ...]:
        """Boundary logits `[B, h, w]`, and displacements `[B, 2, h, w]`: (rows, columns) on the grid.

        The levels are those of the image enlarged to a multiple of the encoder's stride; what lies outside the image is cut off.
        """
        rows, columns = grid_of(image)
        whole = (_covering(image.shape[2], self.stride), _covering(image.shape[3], self.stride))
        found = [self.boundary(levels, whole)]
        if self.displacement is not None:
            found.append(self.displacement(levels, whole))
        return tuple(head[..., :rows, :columns] for head in found)


def _covering(side: int, stride: int) -> int:
    """Cells of the grid over a side that is enlarged to a multiple of the stride."""
    return -(-side // stride) * stride // STRIDE


class BoundaryHead(nn.Module):
    """Every level at 32 channels on the grid, and one convolution over all of them."""

    def __init__(self, widths: Sequence[int], width: int = 32) -> None:
        super().__init__()
        self.reduce = nn.ModuleList(_reduced(inputs, width) for inputs in widths)
        self.decide = nn.Conv2d(width * len(widths), 1, 1)

    def forward(self, levels: Sequence[Tensor], grid: tuple[int, int]) -> Tensor:
        return self.decide(_gathered(self.reduce, levels, grid))[:, 0]


class DisplacementHead(nn.Module):
    """From each place to the middle of its instance; the two coarse levels meet at half the grid before they join the fine ones.

    The authors subtract the mean displacement of the training set afterwards; that matters for instances alone, which nothing
    here reads.
    """

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        fine, coarse = (64, 128), (256, 256)
        self.fine = nn.ModuleList(_reduced(a, b) for a, b in zip(widths[:2], fine, strict=True))
        self.coarse = nn.ModuleList(_reduced(a, b) for a, b in zip(widths[2:], coarse, strict=True))
        self.join = _reduced(sum(coarse), 256)
        self.decide = nn.Sequential(
            _reduced(sum(fine) + 256, 256), nn.ReLU(), nn.Conv2d(256, 2, 1, bias=False)
        )

    def forward(self, levels: Sequence[Tensor], grid: tuple[int, int]) -> Tensor:
        half = (-(-grid[0] // 2), -(-grid[1] // 2))
        coarse = self.join(_gathered(self.coarse, levels[2:], half))
        return self.decide(
            torch.cat([_gathered(self.fine, levels[:2], grid), torch.relu(_resized(coarse, grid))], dim=1)
        )


def _reduced(inputs: int, outputs: int) -> nn.Module:
    """Of 32, 64, 128, 256 channels the authors make 4, 8, 16, 16 groups."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 1, bias=False), nn.GroupNorm(min(outputs // 8, 16), outputs)
    )


def _gathered(parts: nn.ModuleList, levels: Sequence[Tensor], grid: tuple[int, int]) -> Tensor:
    """Every level through its part, at one size."""
    return torch.cat(
        [torch.relu(_resized(part(level), grid)) for part, level in zip(parts, levels, strict=True)], dim=1
    )


def _resized(features: Tensor, size: tuple[int, int]) -> Tensor:
    return (
        features
        if features.shape[2:] == size
        else F.interpolate(features, size, mode="bilinear", align_corners=False)
    )
