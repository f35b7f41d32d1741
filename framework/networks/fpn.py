"""The top-down pathway (FPN) of SKS's classifier (Chen et al. 2024; methods/README 3.3).

That there is one is the paper's; how it is made is reconstructed: u_4 = c_4, u_i = c_i + up(W_i u_{i+1}),
with W_i a 1 x 1 convolution.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from framework.networks.encoder import Encoder


class TopDownPathway(nn.Module):
    """Maps `[B, C, H, W]` to its encoder's levels, the coarser ones added: same shapes, finest first."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder, self.stride, self.widths = encoder, encoder.stride, encoder.widths
        pairs = zip(self.widths, self.widths[1:], strict=False)
        self.down = nn.ModuleList(nn.Conv2d(coarser, own, 1) for own, coarser in pairs)

    def forward(self, image: Tensor) -> list[Tensor]:
        *finer, coarsest = self.encoder(image)
        levels = [coarsest]
        for level, down in zip(reversed(finer), reversed(self.down), strict=True):
            coarser = F.interpolate(down(levels[0]), level.shape[2:], mode="bilinear", align_corners=False)
            levels.insert(0, level + coarser)
        return levels
