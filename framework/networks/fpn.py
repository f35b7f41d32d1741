"""The way down of SKS's classifier, whose branch is a U as the segmenter's is (Chen et al. 2024; methods/README 3.3).

That there is one is the paper's; how it is made is reconstructed: u_4 = c_4, u_i = c_i + up(W_i u_{i+1}), with W_i at every place.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from framework.networks.encoder import Encoder


class TopDown(nn.Module):
    """Maps `[B, C, H, W]` to the levels of its encoder, each with what those below it found: same shapes, the finest first."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder, self.stride, self.widths = encoder, encoder.stride, encoder.widths
        self.down = nn.ModuleList(
            nn.Conv2d(below, own, 1) for own, below in zip(self.widths, self.widths[1:], strict=False)
        )

    def forward(self, image: Tensor) -> list[Tensor]:
        *finer, lowest = self.encoder(image)
        levels = [lowest]
        for level, change in zip(reversed(finer), reversed(self.down), strict=True):
            below = F.interpolate(change(levels[0]), level.shape[2:], mode="bilinear", align_corners=False)
            levels.insert(0, level + below)
        return levels
