"""DropBlock (Ghiasi et al., NeurIPS 2018) as in Viniavskyi et al. 2020 (methods/README 2.2)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from pydantic import Field, field_validator
from torch import Tensor, nn

from framework.core.distributed import all_reduce_sum
from framework.core.settings import Settings


class DropBlockConfig(Settings):
    """The authors' values for pneumothorax; for VOC they take a share of 0.3."""

    share: float = Field(default=0.2, ge=0, lt=1)
    """Share P of block centres: off the border 1 - (1 - P / b²)^(b²) of the pixels drop, 0.18 by default."""
    block: int = Field(default=7, ge=1)
    """Side b of a block, in pixels of the features."""

    @field_validator("block")
    @classmethod
    def _odd(cls, block: int) -> int:
        if block % 2 == 0:
            raise ValueError("a block has a middle: its side is odd")
        return block


class DropBlock(nn.Module):
    """Drops square blocks of features `[B, C, h, w]`, the same in all channels; in training alone."""

    def __init__(self, config: DropBlockConfig) -> None:
        super().__init__()
        self.config = config
        self.generators: Sequence[torch.Generator] = ()
        """One for each image, set before a step, so that the number of workers changes nothing."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.config.share == 0:
            return x
        block, shape = self.config.block, (1, *x.shape[2:])
        drawn = torch.stack([torch.rand(shape, generator=g, device=g.device) for g in self.generators])
        centres = (drawn < self.config.share / block**2).to(x.dtype)
        keep = 1 - F.max_pool2d(centres, block, 1, block // 2)
        kept, pixels = all_reduce_sum(torch.stack([keep.sum(), keep.new_tensor(keep.numel())]).double())
        return x * keep * (pixels / kept.clamp_min(1)).to(x.dtype)
