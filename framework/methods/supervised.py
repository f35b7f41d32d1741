"""The baseline and the upper bound: train on labelled images alone (methods/README 6)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from torch import Tensor, nn

from framework.core.settings import Settings
from framework.loading.loader import Batch, Stream
from framework.methods.base import Example, Method, MethodContext, Update
from framework.methods.common.losses import supervised_loss

NO_MASKS = "give the corpus masks, or raise corpus.budget.share"
MASKED = Stream("labelled", frozenset({"mask"}), hint=NO_MASKS)
"""Images with masks of the corpus."""
LABELLED = Stream("labelled", frozenset({"mask", "pseudo"}), hint=NO_MASKS)
"""Images with masks of the corpus or pseudo masks of a layer."""


class Supervised(Method):
    """One network."""

    class Config(Settings):
        """No switches: cross-entropy and soft Dice on masks, and on pseudo masks of layers."""

        name: Literal["supervised"] = "supervised"

    learns_from = "masks (and pseudo masks of a layer)"
    source = "the baseline and the upper bound"
    streams = (LABELLED,)
    examples = {"": Example(volumes=True)}

    def __init__(self, config: Settings, context: MethodContext) -> None:
        super().__init__()
        self.config = config
        self.networks["network"] = Single(context.network(0))

    def train_step(self, batch: Batch, step: int) -> Iterator[Update]:
        (logits,) = self.call("network", batch["labelled"].image)
        loss = supervised_loss(logits, batch["labelled"].mask)
        yield Update("network", loss, {"loss_supervised": loss.detach()})

    def predict(self, image: Tensor) -> dict[str, Tensor]:
        (logits,) = self.networks["network"](image)
        return {"network 1": logits.float().softmax(1)}


class Single(nn.Module):
    """One network as a group: logits of every input."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, *images: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.network(image) for image in images)
