"""A judge of masks, trained against the network that predicts them (Zhou et al. 2019; methods.md 1.3, 1.6; reconstructed).

True masks come from images with masks alone; predicted ones from any image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from framework.corpus.loader import StreamBatch
from framework.corpus.schema import IGNORE
from framework.methods.contract import Method, Setting, Update
from framework.methods.losses import planar
from framework.methods.noise import generators
from framework.networks.fixed import call_fixed
from framework.networks.lesions import Discriminator
from framework.networks.seeded import seeded


class AdversaryConfig(BaseModel):
    """The customary values of adversarial semi-supervised segmentation."""

    model_config = ConfigDict(extra="forbid")
    weight: float = Field(default=0.01, ge=0)
    """Of the judge's verdict in the segmenter's loss, on images with masks."""
    weight_unmasked: float = Field(default=0.001, ge=0)
    """The same on images without."""
    widths: list[int] = Field(default=[64, 128, 256, 512], min_length=1)
    """Channels of the judge's levels, each at half the resolution of the one before."""
    softened: float = Field(default=0.1, ge=0, lt=0.5)
    """All masks are moved this far at most from 0 and 1: being soft must not betray the predicted ones, nor noise the true."""
    rate: float = Field(default=0.5, gt=0)
    """Share of the run's learning rate that the judge learns with."""


@dataclass(frozen=True)
class Pair:
    """Images, the masks `[B, L, H, W]` predicted for them (0..1, with gradient), and the true ones where there are any."""

    images: StreamBatch
    predicted: Tensor
    truth: Tensor | None = None

    @property
    def known(self) -> Tensor | float:
        """1 where the truth says something: what it leaves open is hidden from the judge in both masks."""
        return 1.0 if self.truth is None else (self.truth != IGNORE).to(self.predicted.dtype)

    def shown(self, masks: Tensor) -> Tensor:
        """What the judge sees `[B, C + L, H, W]`."""
        return torch.cat([self.images.image, (masks * self.known).to(self.images.image.dtype)], dim=1)


class Adversary:
    """The judge of a method: its network is the method's group "discriminator"."""

    def __init__(self, method: Method, config: AdversaryConfig, setting: Setting) -> None:
        self.method, self.config, self.seed = method, config, setting.seed
        with seeded("discriminator", setting.seed):
            method.networks["discriminator"] = Discriminator(setting.channels + setting.lesions, config.widths)

    @classmethod
    def beside(cls, method: Method, config: AdversaryConfig | None, setting: Setting) -> Adversary | None:
        """The judge of a method, if it has one."""
        return cls(method, config, setting) if config is not None else None

    def judge(self, pairs: Sequence[Pair], step: int) -> Update:
        """The judge's own update (L_D): masks that are true are to be 1, predicted ones 0."""
        true = [self._softened(pair, pair.truth == 1, step) for pair in pairs if pair.truth is not None]
        predicted = [self._softened(pair, pair.predicted.detach(), step) for pair in pairs]
        (verdicts,) = self.method.call("discriminator", torch.cat([*true, *predicted]))
        parts = verdicts.split([len(part) for part in (*true, *predicted)])
        losses = [verdict_loss(part, i < len(true)) for i, part in enumerate(parts)]
        loss = torch.stack(losses).sum()
        return Update("discriminator", loss, {"loss_discriminator": loss.detach()}, self.config.rate)

    def deceit(self, pair: Pair, step: int) -> Tensor:
        """How far predicted masks are from passing for true (L_adv), by the judge as it now is; it learns nothing from this."""
        (verdict,) = call_fixed(self.method.networks["discriminator"], self._softened(pair, pair.predicted, step))
        return verdict_loss(verdict, True)

    def _softened(self, pair: Pair, masks: Tensor, step: int) -> Tensor:
        """Images with masks as the judge sees them, moved from 0 and 1 by the same noise whichever masks they are.

        The noise goes by image, so that the number of ranks changes nothing.
        """
        shape, device = masks.shape[1:], masks.device
        draws = generators(pair.images.ids, device, "softened", self.seed, step)
        noise = torch.stack([torch.rand(shape, generator=draw, device=device) for draw in draws])
        return pair.shown((masks.to(pair.predicted.dtype) - self.config.softened * noise).abs())


def verdict_loss(verdict: Tensor, true: bool) -> Tensor:
    """Mean cross-entropy of logits of patches against one verdict."""
    verdict = planar(verdict)
    return F.binary_cross_entropy_with_logits(verdict, torch.full_like(verdict, float(true)))
