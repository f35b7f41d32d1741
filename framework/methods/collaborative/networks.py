"""Discriminator and grader of lesions (Zhou et al., CVPR 2019; methods/README 1.3, 1.4).

Their algebra is reconstructed: the paper's own layers are known from summaries alone.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from framework.networks.encoder import Encoder
from framework.networks.padding import enlarged


class Discriminator(nn.Module):
    """Images with masks `[B, C + L, H, W]` to a logit of being true for each patch `[B, 1, h, w]`.

    Without batch normalisation, whose statistics would betray which masks of a batch are true.
    """

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

        The attention is on the finest level's grid: on the coarsest, small lesions would vanish. It weights a
        mean of the coarsest level, not a product as in methods/README 1.4: with that it saturates (mean 0.99
        and deviation 0.02 after 200 steps on the phantom, against 0.53 and 0.28) and localises nothing. Its
        own mean, which a weighted mean loses, is a feature too: nothing else would lower it without lesions.
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
