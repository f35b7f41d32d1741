"""Discriminator and grader of lesions (Zhou et al., CVPR 2019; methods/README 1.3, 1.4; reconstructed)."""

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.utils.parametrizations import spectral_norm

from framework.networks.base import enlarged
from framework.networks.encoder import Encoder


class Discriminator(nn.Module):
    """Images with masks `[B, C + L, H, W]` to a logit of being true for each patch `[B, 1, h, w]`."""

    def __init__(self, inputs: int, widths: Sequence[int]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for a, b in zip([inputs, *widths], widths, strict=False):
            layers += [spectral_norm(nn.Conv2d(a, b, 4, 2, 1)), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, spectral_norm(nn.Conv2d(widths[-1], 1, 4, 1, 2)))

    def forward(self, pairs: Tensor) -> tuple[Tensor]:
        return (self.layers(pairs),)


class GraderNetwork(nn.Module):
    """An encoder whose coarsest level is pooled by an attention to each lesion's mask and fine detail."""

    def __init__(self, encoder: Encoder, lesions: int, grades: int, width: int) -> None:
        """`width` channels for each lesion's attention."""
        super().__init__()
        self.encoder = encoder
        fine, coarse = encoder.widths[0], encoder.widths[-1]
        self.context = nn.Conv2d(coarse, width, 1)
        self.attend = nn.ModuleList(Attention(fine, width) for _ in range(lesions))
        self.decide = nn.Linear(lesions * (coarse + 1), grades)

    def forward(self, image: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of the grades `[B, G]` and attention `[B, L, h, w]` (0..1, float32) by masks `[B, L, H, W]`.

        It is on the finest level's grid; methods/README 1.4 says why it weights a mean beside its own.
        """
        *_, coarse = levels = self.encoder(image)
        fine, stride = levels[0], self.encoder.stride
        whole = enlarged(masks, (stride, stride))
        small = F.interpolate(whole, fine.shape[2:], mode="bilinear", antialias=True, align_corners=False)
        context = F.interpolate(self.context(coarse), fine.shape[2:], mode="bilinear", align_corners=False)
        pairs = zip(self.attend, small.split(1, dim=1), strict=True)
        logits = torch.cat([attend(fine, mask, context) for attend, mask in pairs], dim=1)
        attention = logits.float().sigmoid()
        weight = F.adaptive_avg_pool2d(attention, coarse.shape[2:]).to(coarse.dtype)
        weight = weight / weight.sum((2, 3), keepdim=True).clamp_min(1e-12)
        pooled = torch.einsum("blhw,bchw->blc", weight, coarse)
        amount = attention.mean((2, 3)).to(coarse.dtype)
        grades = self.decide(torch.cat([pooled.flatten(1), amount], dim=1))
        sides = zip(image.shape[2:], fine.shape[2:], whole.shape[2:], strict=True)
        rows, columns = (-(-side * cells // full) for side, cells, full in sides)
        return grades, attention[..., :rows, :columns]


class Attention(nn.Module):
    """To one lesion: logits `[B, 1, h, w]` from detail `[B, F, h, w]`, mask `[B, 1, h, w]` and context.

    Grouped convolutions would do all lesions at once, and take twice the time on CPUs.
    """

    def __init__(self, fine: int, width: int) -> None:
        super().__init__()
        self.near = nn.Conv2d(fine + 1, width, 3, padding=1)
        with torch.no_grad():  # at first the mask weighs as much as all of the detail
            self.near.weight[:, fine:] *= math.sqrt(fine + 1)
        self.height = nn.Conv2d(width, 1, 1)

    def forward(self, fine: Tensor, mask: Tensor, context: Tensor) -> Tensor:
        return self.height(torch.relu(self.near(torch.cat([fine, mask.to(fine.dtype)], dim=1))) * context)


def call_fixed(network: nn.Module, *inputs: Tensor) -> Any:
    """The network's output; gradients reach its inputs but not its weights, whatever wraps them."""
    fixed = {name: value.detach() for name, value in network.named_parameters()}
    return functional_call(network, fixed, inputs)
