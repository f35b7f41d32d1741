"""Pseudo masks from attention (Zhou et al., CVPR 2019; methods/README 1.5; thresholds are reconstructed)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor

from framework.core.labels import IGNORE
from framework.core.settings import Settings


class PseudoMaskConfig(Settings):
    """How attention becomes masks, once stretched between its least and largest value in an image."""

    least: float = Field(default=0.2, ge=0, le=1)
    """A lesion whose attention peaks below this is absent."""
    contrast: float = Field(default=0.2, ge=0, le=1)
    """Attention whose range in an image is smaller leaves the lesion unlabelled."""
    low: float = Field(default=0.3, ge=0, le=1)
    """Stretched attention below which there is no lesion; between the two pixels are unlabelled."""
    high: float = Field(default=0.5, ge=0, le=1)
    """Stretched attention from which on there is a lesion."""
    agreement: float = Field(default=0.3, ge=0, le=1)
    """The segmenter's probability (rare lesions unweighted) that a pixel of a lesion must reach, and one
    without must not; where both disagree pixels are unlabelled; 0 asks for none."""

    @model_validator(mode="after")
    def _ordered(self) -> PseudoMaskConfig:
        if self.low > self.high:
            raise ValueError(f"low {self.low} is over high {self.high}; give a low that is at most high")
        return self


@torch.no_grad()
def unweighted(probability: Tensor, weights: Tensor) -> Tensor:
    """Probabilities `[B, L, H, W]` without the `weights` `[L]` that lesion pixels have in training."""
    weight = weights[:, None, None]
    return probability / (probability + weight * (1 - probability)).clamp_min(1e-12)


@torch.no_grad()
def pseudo_masks(attention: Tensor, predicted: Tensor, healthy: Tensor, config: PseudoMaskConfig) -> Tensor:
    """Planes `[B, L, H, W]` of 0, 1 and 255 (unlabelled) from attention `[B, L, h, w]` and predicted masks
    `[B, L, H, W]`; images that are `healthy` `[B]` have no lesion anywhere."""
    whole = F.interpolate(attention, predicted.shape[2:], mode="bilinear", align_corners=False)
    least, peak = whole.amin((2, 3), keepdim=True), whole.amax((2, 3), keepdim=True)
    stretched = (whole - least) / (peak - least).clamp_min(1e-6)
    sharp = peak - least >= config.contrast
    present = sharp & (stretched >= config.high)
    absent = (sharp & (stretched < config.low)) | (peak < config.least)
    if config.agreement:
        present, absent = present & (predicted >= config.agreement), absent & (predicted < config.agreement)
    return torch.where(absent | healthy[:, None, None, None], 0, torch.where(present, 1, IGNORE))


def flattened(planes: Tensor) -> Tensor:
    """Planes `[B, L, H, W]` of 0, 1 and 255 as class ids `[B, H, W]`: the last lesion, else 255, else 0."""
    ids = torch.where((planes == IGNORE).any(1), IGNORE, 0)
    for number, plane in enumerate(planes.unbind(1), start=1):
        ids = torch.where(plane == 1, number, ids)
    return ids
