"""Stage 1 of Zhou et al. 2019: a segmenter of lesions, a sigmoid for each (methods/README 1.6)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from framework.core.distributed import all_reduce_sum
from framework.core.labels import IGNORE
from framework.core.settings import Settings
from framework.corpus.bits import planes
from framework.loading.loader import Batch, StreamBatch
from framework.loading.training_set import CorpusConfig
from framework.methods.base import Example, Method, MethodContext, Needs, Read, Update
from framework.methods.collaborative.discriminator import Adversary, AdversaryConfig, MaskPair
from framework.methods.common.losses import planar
from framework.methods.supervised import MASKED, Single


class LesionConfig(Settings):
    """The paper's terms, with reconstructed weights."""

    dice: float = Field(default=1.0, ge=0)
    """Weight of soft Dice beside weighted cross-entropy: without it rare lesions may never be predicted."""
    adversary: AdversaryConfig | None = AdversaryConfig()
    """The discriminator of masks; None makes the plain baseline."""


class Lesions(Method):
    """The generator, and its discriminator where there is one."""

    class Config(LesionConfig):
        name: Literal["lesions"]

    learns_from = "masks of lesions that may overlap"
    source = "first stage of Zhou et al., CVPR 2019"
    multilabel = True
    needs = Needs(volumes=False)
    streams = (MASKED,)
    examples = {"": Example({"adversary": {"widths": [4, 8]}}), "alone": Example({"adversary": None})}

    def __init__(self, config: LesionConfig, context: MethodContext) -> None:
        super().__init__()
        self.config, self.context = config, context
        self.networks["generator"] = Single(context.network(0))
        self.adversary = Adversary(self, config.adversary, context) if config.adversary else None
        self.register_buffer("weights", torch.ones(context.lesions))

    def prepare(self, ids: Mapping[str, Sequence[str]], read: Read) -> None:
        self.weights = rarity(read(MASKED.name), self.context.lesions, self.weights.device)

    @classmethod
    def check(cls, config: Any, network: Any, corpus: CorpusConfig) -> None:
        super().check(config, network, corpus)
        levels = len(config.adversary.widths) if config.adversary else 0
        if 2**levels > corpus.size:
            fault = f"{levels} levels halve {corpus.size} pixels to nothing"
            raise ValueError(f"method.adversary.widths: {fault}; give fewer")

    def train_step(self, batch: Batch, step: int) -> Iterator[Update]:
        masked = batch[MASKED.name]
        (logits,) = self.call("generator", masked.image)
        target = targets(masked.mask, self.context.lesions)
        loss = supervised = lesion_loss(logits, target, self.weights, self.config.dice)
        metrics = {"loss_supervised": supervised.detach()}
        if self.adversary is not None:
            pair = MaskPair(masked, logits.sigmoid(), target)
            yield self.adversary.discriminator_update([pair], step)
            adversarial = self.adversary.adversarial_loss([pair], step)
            loss = supervised + adversarial
            metrics["loss_adversarial"] = adversarial.detach()
        yield Update("generator", loss, metrics)

    def predict(self, image: Tensor) -> dict[str, Tensor]:
        return {"network 1": with_background(self.masks(image))}

    def masks(self, image: Tensor) -> Tensor:
        """Probabilities `[B, L, H, W]` of the lesions."""
        return planar(self.networks["generator"](image)[0]).sigmoid()


def targets(mask: Tensor, lesions: int) -> Tensor:
    """Bits `[B, H, W]` as planes `[B, L, H, W]`, int64 of 0 and 1, and 255 in all of them where ignored."""
    return torch.where(mask[:, None] == IGNORE, IGNORE, planes(mask, lesions).movedim(0, 1).long())


def with_background(probability: Tensor) -> Tensor:
    """Lesions `[B, L, H, W]` to classes `[B, L + 1, H, W]`: first 1 minus the most probable lesion."""
    return torch.cat([1 - probability.amax(1, keepdim=True), probability], dim=1)


def lesion_loss(logits: Tensor, target: Tensor, weights: Tensor, dice: float) -> Tensor:
    """Binary cross-entropy with weights `[L]`, and soft Dice of each lesion, over planes `[B, L, H, W]`."""
    logits, known = planar(logits), target != IGNORE
    truth = (target * known).to(logits.dtype)
    heavier = weights.to(logits.dtype)[:, None, None]
    entropy = F.binary_cross_entropy_with_logits(logits, truth, pos_weight=heavier, reduction="none") * known
    probability = logits.sigmoid() * known
    overlap, size = (probability * truth).sum((0, 2, 3)), (probability.square() + truth).sum((0, 2, 3))
    sums = all_reduce_sum(torch.cat([torch.stack([entropy.sum(), known.sum().to(entropy)]), overlap, size]))
    overlap, size = sums[2:].chunk(2)
    return sums[0] / sums[1].clamp_min(1) + dice * (1 - ((2 * overlap + 1e-5) / (size + 1e-5)).mean())


def rarity(masks: Iterable[StreamBatch], lesions: int, device: torch.device) -> Tensor:
    """Labelled pixels without a lesion to one with it `[L]`, 1..50, over the masks of all ranks."""
    counts = torch.zeros(2, lesions, dtype=torch.int64, device=device)
    for part in masks:
        truth = targets(part.mask.to(device), lesions)
        counts += torch.stack([(truth == value).sum((0, 2, 3)) for value in (0, 1)])
    without, within = all_reduce_sum(counts)
    return (without / within.clamp_min(1)).clamp(1, 50).float()
