"""Adversarial training of a segmenter (Zhou et al. 2019; methods/README 1.3, 1.6; reconstructed)."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from framework.core.labels import IGNORE
from framework.core.settings import Settings
from framework.loading.loader import StreamBatch
from framework.methods.base import Method, MethodContext, Update
from framework.methods.collaborative.networks import Discriminator, call_fixed
from framework.methods.common.losses import planar
from framework.methods.common.noise import generators
from framework.networks.base import seeded


class AdversaryConfig(Settings):
    """The customary values of adversarial semi-supervised segmentation."""

    weight: float = Field(default=0.01, ge=0)
    """Weight of the adversarial loss on images with masks."""
    weight_unmasked: float = Field(default=0.001, ge=0)
    """Weight of the adversarial loss on images without."""
    widths: list[int] = Field(default=[64, 128, 256, 512], min_length=1)
    """Channels of the discriminator's levels, each at half the resolution of the one before."""
    label_smoothing: float = Field(default=0.1, ge=0, lt=0.5)
    """Largest shift of all masks from 0 and 1, so that softness does not betray predicted ones."""
    lr_scale: float = Field(default=0.5, gt=0)
    """The discriminator's learning rate, as a share of the run's."""


@dataclass(frozen=True)
class MaskPair:
    """Images, predicted masks `[B, L, H, W]` (0..1, with gradient), and the true ones where there are any."""

    images: StreamBatch
    predicted: Tensor
    truth: Tensor | None = None

    def shown(self, masks: Tensor) -> Tensor:
        """The discriminator's input `[B, C + L, H, W]`, without what is unlabelled in the truth."""
        known = 1.0 if self.truth is None else self.truth != IGNORE
        return torch.cat([self.images.image, (masks * known).to(self.images.image.dtype)], dim=1)


class Adversary:
    """The discriminator of a method: its network is the method's group "discriminator"."""

    def __init__(self, method: Method, config: AdversaryConfig, context: MethodContext) -> None:
        self.method, self.config, self.seed = method, config, context.seed
        with seeded("discriminator", context.seed):
            inputs = context.channels + context.lesions
            method.networks["discriminator"] = Discriminator(inputs, config.widths)

    def discriminator_update(self, pairs: Sequence[MaskPair], step: int) -> Update:
        """The discriminator's own update (L_D): 1 for true masks, 0 for predicted ones."""
        true = [self._smoothed(pair, pair.truth == 1, step) for pair in pairs if pair.truth is not None]
        predicted = [self._smoothed(pair, pair.predicted.detach(), step) for pair in pairs]
        (logits,) = self.method.call("discriminator", torch.cat([*true, *predicted]))
        parts = logits.split([len(part) for part in (*true, *predicted)])
        losses = [patch_cross_entropy(part, i < len(true)) for i, part in enumerate(parts)]
        loss = torch.stack(losses).sum()
        return Update("discriminator", loss, {"loss_discriminator": loss.detach()}, self.config.lr_scale)

    def adversarial_loss(self, pairs: Sequence[MaskPair], step: int) -> Tensor:
        """The segmenter's (L_adv): predicted masks against true, by the discriminator with fixed weights."""
        losses = []
        for pair in pairs:
            masks = self._smoothed(pair, pair.predicted, step)
            (logits,) = call_fixed(self.method.networks["discriminator"], masks)
            weight = self.config.weight_unmasked if pair.truth is None else self.config.weight
            losses.append(weight * patch_cross_entropy(logits, True))
        return torch.stack(losses).sum()

    def _smoothed(self, pair: MaskPair, masks: Tensor, step: int) -> Tensor:
        """The discriminator's input, masks moved from 0 and 1 by an image's noise, whether true or not."""
        shape, device = masks.shape[1:], masks.device
        draws = generators(pair.images.ids, device, "softened", self.seed, step)
        noise = torch.stack([torch.rand(shape, generator=draw, device=device) for draw in draws])
        return pair.shown((masks.to(pair.predicted.dtype) - self.config.label_smoothing * noise).abs())


def patch_cross_entropy(logits: Tensor, true: bool) -> Tensor:
    """Mean cross-entropy of the logits of patches, which are all true or all predicted."""
    logits = planar(logits)
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, float(true)))
