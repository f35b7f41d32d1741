"""Entropy minimisation (Grandvalet & Bengio, NIPS 2004): unlabelled pixels should be sure of something."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor

from framework.core.settings import Settings
from framework.loading.loader import Batch
from framework.methods.base import Method, MethodContext, Update
from framework.methods.common.losses import planar, supervised_loss
from framework.methods.common.pair import UNLABELLED
from framework.methods.sections import Block, ModelRecord, Section
from framework.methods.supervised import LABELLED, Single


class EntropyMinimisation(Method):
    """One network."""

    class Config(Settings):
        """One weight."""

        name: Literal["entropy"]
        weight: float = 0.1

    learns_from = "masks + images"
    source = "Grandvalet & Bengio, NIPS 2004"
    streams = (LABELLED, UNLABELLED)

    def __init__(self, config: EntropyMinimisation.Config, context: MethodContext) -> None:
        super().__init__()
        self.config = config
        self.networks["network"] = Single(context.network(0))

    def train_step(self, batch: Batch, step: int) -> Iterator[Update]:
        labelled, unlabelled = self.call("network", batch["labelled"].image, batch["unlabelled"].image)
        log_probability = planar(unlabelled).log_softmax(1)
        entropy = -(log_probability.exp() * log_probability).sum(1).mean()
        loss = supervised_loss(labelled, batch["labelled"].mask) + self.config.weight * entropy
        yield Update("network", loss, {"entropy": entropy.detach()})

    def predict(self, image: Tensor) -> dict[str, Tensor]:
        (logits,) = self.networks["network"](image)
        return {"network 1": logits.float().softmax(1)}

    def statistics(self) -> dict[str, Tensor]:
        return {"weight": torch.tensor(self.config.weight)}

    @classmethod
    def report(cls, record: ModelRecord) -> list[Section]:
        return [
            Section("Entropy", "How sure the network became.", "A section of another package.", [Block()])
        ]
