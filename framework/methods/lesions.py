"""A segmenter of lesions that may overlap, each a sigmoid of its own, with or without a judge of its masks (methods.md 1.6).

The first stage of Zhou et al. 2019; without the judge the plain baseline. The generator is the run's network.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from framework.corpus.bits import planes
from framework.corpus.loader import Batch, Stream, StreamBatch
from framework.corpus.schema import IGNORE
from framework.methods.adversary import Adversary, AdversaryConfig, Pair
from framework.methods.contract import Method, Read, Setting, Update
from framework.methods.losses import planar
from framework.methods.supervised import Single
from framework.training.collective import differentiable_total, total

MASKED = Stream("labelled", frozenset({"mask"}), hint="give the corpus masks, or raise corpus.budget.share")
HEAVIEST = 50.0
"""Largest weight of a lesion's pixels."""


class LesionConfig(BaseModel):
    """How masks of lesions are learnt; the paper's terms, the weights reconstructed."""

    model_config = ConfigDict(extra="forbid")
    dice: float = Field(default=1.0, ge=0)
    """Weight of soft Dice beside the weighted cross-entropy: without it rare lesions may never fire."""
    adversary: AdversaryConfig | None = AdversaryConfig()
    """The judge of masks; None: there is none."""


class LesionsConfig(LesionConfig):
    """No further settings."""

    name: Literal["lesions"]


class Lesions(Method):
    """The generator, and its judge where there is one."""

    overlapping = True
    streams = (MASKED,)

    def __init__(self, config: LesionsConfig, setting: Setting) -> None:
        super().__init__()
        self.config, self.setting = config, setting
        self.networks["generator"] = Single(setting.network(0))
        self.adversary = Adversary.beside(self, config.adversary, setting)
        self.register_buffer("weights", torch.ones(setting.lesions))

    def prepare(self, ids: Mapping[str, Sequence[str]], read: Read) -> None:
        self.weights = rarity(read(MASKED.name), self.setting.lesions, self.weights.device)

    def train_step(self, batch: Batch, step: int) -> Iterator[Update]:
        masked = batch[MASKED.name]
        (logits,) = self.call("generator", masked.image)
        target = targets(masked.mask, self.setting.lesions)
        loss = supervised = lesion_loss(logits, target, self.weights, self.config.dice)
        metrics = {"loss_supervised": supervised.detach()}
        if self.adversary is not None:
            pair = Pair(masked, logits.sigmoid(), target)
            yield self.adversary.judge([pair], step)
            deceit = self.adversary.config.weight * self.adversary.deceit(pair, step)
            loss = supervised + deceit
            metrics["loss_adversarial"] = deceit.detach()
        yield Update("generator", loss, metrics)

    def predict(self, image: Tensor) -> dict[str, Tensor]:
        (logits,) = self.networks["generator"](image)
        return {"network 1": with_background(planar(logits).sigmoid())}


def targets(mask: Tensor, lesions: int) -> Tensor:
    """Bits `[B, H, W]` as one plane for each lesion `[B, L, H, W]` int64 of 0 and 1, and 255 in all of them where it is ignored."""
    return torch.where(mask[:, None] == IGNORE, IGNORE, planes(mask, lesions).movedim(0, 1).long())


def with_background(probability: Tensor) -> Tensor:
    """Lesions `[B, L, H, W]` to classes `[B, L + 1, H, W]`: first the probability of none, as far as the likeliest lesion tells."""
    return torch.cat([1 - probability.amax(1, keepdim=True), probability], dim=1)


def lesion_loss(logits: Tensor, target: Tensor, weights: Tensor, dice: float) -> Tensor:
    """Cross-entropy of each lesion by itself, its pixels weighted `[L]`, and soft Dice, of logits against planes `[B, L, H, W]`.

    Means run over all known pixels of the global batch (methods.md 1.6), soft Dice over those of each lesion.
    """
    logits, known = planar(logits), target != IGNORE
    truth = (target * known).to(logits.dtype)
    heavier = weights.to(logits.dtype)[:, None, None]
    entropy = F.binary_cross_entropy_with_logits(logits, truth, pos_weight=heavier, reduction="none") * known
    probability = logits.sigmoid() * known
    overlap, size = (probability * truth).sum((0, 2, 3)), (probability.square() + truth).sum((0, 2, 3))
    sums = differentiable_total(torch.cat([torch.stack([entropy.sum(), known.sum().to(entropy)]), overlap, size]))
    overlap, size = sums[2:].chunk(2)
    return sums[0] / sums[1].clamp_min(1) + dice * (1 - ((2 * overlap + 1e-5) / (size + 1e-5)).mean())


def rarity(masks: Iterable[StreamBatch], lesions: int, device: torch.device) -> Tensor:
    """How many known pixels without a lesion there are to one with it `[L]`, 1..50, over the masks of all ranks."""
    counts = torch.zeros(2, lesions, dtype=torch.int64, device=device)
    for part in masks:
        found = targets(part.mask.to(device), lesions)
        counts += torch.stack([(found == value).sum((0, 2, 3)) for value in (0, 1)])
    without, within = total(counts)
    return (without / within.clamp_min(1)).clamp(1, HEAVIEST).float()
