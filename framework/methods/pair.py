"""Two networks of one architecture and different initialisation that teach each other: what CPS and Co-DA share."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from framework.corpus.loader import Batch, Stream
from framework.methods.contract import Setting
from framework.methods.losses import pixel_entropy, supervised_loss
from framework.methods.supervised import LABELLED

UNLABELLED = Stream(
    "unlabelled",
    frozenset({"none"}),
    hint="every training image has a mask: lower corpus.budget.share, or add images without masks",
)
STREAMS = (LABELLED, UNLABELLED)


class Pair(nn.Module):
    """Both networks as one module, so that one optimiser, one DDP wrapper or one DeepSpeed engine holds both."""

    def __init__(self, setting: Setting) -> None:
        super().__init__()
        self.first, self.second = setting.network(0), setting.network(1)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        return self.first(image), self.second(image)


def predict_pair(logits: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
    """Probabilities `[B, K, H, W]`: the mean of both networks, and network 1 alone."""
    first, second = (z.float().softmax(1) for z in logits)
    return {"both": (first + second) / 2, "network 1": first}


def mixed_images(batch: Batch) -> Tensor:
    """Labelled then unlabelled images in one tensor, so that batch normalisation sees both."""
    return torch.cat([batch["labelled"].image, batch["unlabelled"].image])


def supervised_pair(logits: tuple[Tensor, Tensor], batch: Batch) -> Tensor:
    """Supervised loss of both networks, added; logits `[B_L + B_U, K, H, W]`."""
    mask = batch["labelled"].mask
    return supervised_loss(logits[0][: len(mask)], mask) + supervised_loss(logits[1][: len(mask)], mask)


def cross_teaching(
    unlabelled: tuple[Tensor, Tensor], labels: tuple[Tensor, Tensor], keep: tuple[Tensor | None, Tensor | None]
) -> Tensor:
    """Each network learns from the other's hard labels where those are kept: logits `[B, K, H, W]`, the others `[B, H, W]`."""
    return pixel_entropy(unlabelled[0], labels[1], keep[1]) + pixel_entropy(unlabelled[1], labels[0], keep[0])
