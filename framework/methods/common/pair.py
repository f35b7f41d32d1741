"""Networks that see weak and strong views: one alone, or two that learn from each other.

Of a pair each learns on strong views what the other says of weak ones, as in AdaMatch (methods/README 4.3).
Strong views are kept out of the normalisation's statistics: predictions are on images unlike them.
"""

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
    hint="every training image has a mask, its own or a layer's: lower corpus.budget.share, "
    "take layers out of corpus.layers, or add images without masks",
)
STREAMS = (LABELLED, replace(UNLABELLED, strong=1))


class WeakAndStrong(nn.Module):
    """One network that sees images, and strong views of images."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor, strong: Tensor | None = None) -> tuple[Tensor, ...]:
        """Logits of the images, and of the strong views where there are any."""
        logits = self.network(image)
        if strong is None:
            return (logits,)
        with kept_statistics(self.network):
            return logits, self.network(strong)


class Pair(nn.Module):
    """Both networks as one module, for one optimiser and one DDP wrapper or DeepSpeed engine."""

    def __init__(self, context: MethodContext) -> None:
        super().__init__()
        self.first, self.second = context.network(0), context.network(1)

    def forward(
        self, image: Tensor, weak: Tensor | None = None, strong: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        """Logits of both networks; with views of other images also theirs, of weak views without a graph."""
        logits = (self.first(image), self.second(image))
        if weak is None or strong is None:
            return logits
        with torch.no_grad():
            weak_logits = (self.first(weak), self.second(weak))
        with kept_statistics(self):
            return *logits, *weak_logits, self.first(strong), self.second(strong)


def predict_pair(logits: Sequence[Tensor]) -> dict[str, Tensor]:
    """Probabilities `[B, K, H, W]`: the mean of both networks, and network 1 alone."""
    first, second = (z.float().softmax(1) for z in logits)
    return {"both": (first + second) / 2, "network 1": first}


def views(batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """A pair's inputs in a step: labelled images, and weak and strong views of unlabelled ones."""
    unlabelled = batch["unlabelled"]
    return batch["labelled"].image, unlabelled.image, unlabelled.strong[0]


def supervised_pair(logits: Sequence[Tensor], mask: Tensor) -> Tensor:
    """Supervised loss of both networks, added; logits `[B, K, H, W]`."""
    return supervised_loss(logits[0], mask) + supervised_loss(logits[1], mask)


def cross_loss(
    logits: Sequence[Tensor], labels: Sequence[Tensor], keep: Sequence[Tensor | None] = (None, None)
) -> Tensor:
    """Loss of both networks' logits `[B, K, H, W]` against the other's labels `[B, H, W]` times `keep`."""
    first = pixel_cross_entropy(logits[0], labels[1], keep[1])
    return first + pixel_cross_entropy(logits[1], labels[0], keep[0])
