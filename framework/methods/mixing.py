"""Naive mixing, the control of hybrid supervision (methods/README 5): weak masks teach like true ones."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
from pydantic import Field

from framework.core.settings import Settings
from framework.corpus.schema import WEAK_COMMANDS, WEAK_KINDS
from framework.loading.loader import Batch, Stream
from framework.methods.base import Example, Update
from framework.methods.common.losses import partial_cross_entropy, supervised_loss
from framework.methods.supervised import MASKED, Supervised

WEAK = Stream(
    "weak",
    frozenset({*WEAK_KINDS, "pseudo"}),
    hint=f"name a layer of weak masks in corpus.layers (make one with {WEAK_COMMANDS}), "
    "and leave corpus.budget.share under 1",
)
STREAMS = (MASKED, WEAK)
"""What hybrid supervision learns from."""


class Mixing(Supervised):
    """One network."""

    config: Mixing.Config

    class Config(Settings):
        """One switch."""

        name: Literal["mixing"]
        weight: float = Field(default=1.0, ge=0)
        """Weight of the loss on weak masks."""

    learns_from = "masks + weak masks"
    source = "the control of hybrid supervision"
    streams = STREAMS
    examples = {"": Example(changes={"corpus": {"layers": ["box"]}})}

    def train_step(self, batch: Batch, step: int) -> Iterator[Update]:
        strong, weak = batch["labelled"], batch["weak"]
        (logits,) = self.call("network", torch.cat([strong.image, weak.image]))
        supervised = supervised_loss(logits[: len(strong.mask)], strong.mask)
        weakly = partial_cross_entropy(logits[len(strong.mask) :], weak.mask)
        metrics = {"loss_supervised": supervised.detach(), "loss_weak": weakly.detach()}
        yield Update("network", supervised + self.config.weight * weakly, metrics)
