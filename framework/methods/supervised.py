"""The baseline and the upper bound: train on labelled images alone (methods.md 6)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from framework.corpus.loader import Batch, Stream
from framework.methods.contract import Method, Setting, Update
from framework.methods.losses import supervised_loss

LABELLED = Stream("labelled", frozenset({"mask", "pseudo"}), hint="give the corpus masks, or raise corpus.budget.share")


class SupervisedConfig(BaseModel):
    """No switches: cross-entropy and soft Dice on masks, and on pseudo masks when a layer brings them."""

    model_config = ConfigDict(extra="forbid")
    name: Literal["supervised"] = "supervised"


class Supervised(Method):
    """One network."""

    streams = (LABELLED,)

    def __init__(self, config: SupervisedConfig, setting: Setting) -> None:
        super().__init__()
        self.networks["network"] = Single(setting.network(0))

    def train_step(self, batch: Batch, step: int) -> Iterator[Update]:
        (logits,) = self.call("network", batch["labelled"].image)
        loss = supervised_loss(logits, batch["labelled"].mask)
        yield Update("network", loss, {"loss_supervised": loss.detach()})

    def predict(self, image: Tensor) -> dict[str, Tensor]:
        (logits,) = self.networks["network"](image)
        return {"network 1": logits.float().softmax(1)}


class Single(nn.Module):
    """One network as a group: every input gives its logits."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, *images: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.network(image) for image in images)
