"""Two networks of one architecture and different initialisation that teach each other: what CPS and Co-DA share.

Each says what it sees in the weak views of the unlabelled images, and the other learns that of the strong ones, as AdaMatch has
it (Berthelot et al., ICLR 2022). With `augment: {strong: 0, blur: 0}` both are one view, as in CPS's paper; it is still normalised
apart from the labelled images, which public code has in one batch with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from framework.loading.loader import Batch, Stream
from framework.methods.base import MethodContext
from framework.methods.common.losses import pixel_cross_entropy, supervised_loss
from framework.methods.supervised import LABELLED
from framework.networks.norm import kept_statistics

UNLABELLED = Stream(
    "unlabelled",
    frozenset({"none"}),
    hint="every training image has a mask, its own or a layer's: lower corpus.budget.share, take layers out of corpus.layers, "
    "or add images without masks",
)
STREAMS = (LABELLED, replace(UNLABELLED, strong=1))


class Pair(nn.Module):
    """Both networks as one module, so that one optimiser, one DDP wrapper or one DeepSpeed engine holds both."""

    def __init__(self, context: MethodContext) -> None:
        super().__init__()
        self.first, self.second = context.network(0), context.network(1)

    def forward(
        self, image: Tensor, weak: Tensor | None = None, strong: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        """Logits of both networks; with views of other images also those of the weak views, without a graph, and the strong ones.

        Normalisation remembers all but the strong views, as predictions are made on images like these.
        """
        logits = (self.first(image), self.second(image))
        if weak is None or strong is None:
            return logits
        with torch.no_grad():
            said = (self.first(weak), self.second(weak))
        with kept_statistics(self):
            return *logits, *said, self.first(strong), self.second(strong)


def predict_pair(logits: Sequence[Tensor]) -> dict[str, Tensor]:
    """Probabilities `[B, K, H, W]`: the mean of both networks, and network 1 alone."""
    first, second = (z.float().softmax(1) for z in logits)
    return {"both": (first + second) / 2, "network 1": first}


def views(batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """What a pair sees in a step: labelled images, and weak and strong views of unlabelled ones."""
    unlabelled = batch["unlabelled"]
    return batch["labelled"].image, unlabelled.image, unlabelled.strong[0]


def supervised_pair(logits: Sequence[Tensor], mask: Tensor) -> Tensor:
    """Supervised loss of both networks, added; logits `[B, K, H, W]`."""
    return supervised_loss(logits[0], mask) + supervised_loss(logits[1], mask)


def cross_teaching(
    logits: Sequence[Tensor], labels: Sequence[Tensor], keep: Sequence[Tensor | None]
) -> Tensor:
    """Each network learns from the other's hard labels where those are kept: logits `[B, K, H, W]`, the others `[B, H, W]`."""
    return pixel_cross_entropy(logits[0], labels[1], keep[1]) + pixel_cross_entropy(
        logits[1], labels[0], keep[0]
    )
