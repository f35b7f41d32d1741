"""Consistency from weak to strong views; for FixMatch and UniMatch also pseudo-labels and CutMix.

Strong views are kept out of the normalisation's statistics: predictions are made on images unlike them. In
the authors' code of FixMatch and UniMatch the statistics are of both.
"""

from dataclasses import replace
from typing import NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn

from framework.core.settings import Settings
from framework.loading.loader import Batch, Stream
from framework.methods.common.losses import gaussian_ramp, planar
from framework.methods.common.noise import boxes, paste
from framework.methods.common.pair import UNLABELLED
from framework.methods.supervised import LABELLED
from framework.networks.norm import kept_statistics

AREA = (0.02, 0.4)
"""Least and largest share of the image that a box covers (UniMatch's code)."""


class WeakToStrongConfig(Settings):
    """The papers' weights and thresholds, without a ramp. UniMatch's code halves all, which Adam ignores."""

    weight: float = Field(default=1.0, ge=0)
    """Weight of the unsupervised terms together, after the ramp."""
    ramp: float = Field(default=0.0, ge=0, le=1)
    """Share of the run over which the weight rises (Gaussian): early pseudo-labels are mostly background."""
    threshold: float = Field(default=0.95, ge=0, le=1)
    """Least confidence of a pseudo-label."""
    cutmix: float = Field(default=0.5, ge=0, le=1)
    """Probability of a CutMix box."""

    def weight_at(self, step: int, steps: int) -> float:
        """The weight in a step of a run."""
        return self.weight * gaussian_ramp(step, self.ramp * steps)


class PseudoLabel(NamedTuple):
    """The most probable classes and their probability, both `[B, H, W]`."""

    ids: Tensor
    confidence: Tensor


class Mixed(NamedTuple):
    """A strong view `[B, C, H, W]` with the partner's pixels inside boxes `[B, H, W]`."""

    image: Tensor
    box: Tensor

    def label(self, own: PseudoLabel, partner: PseudoLabel) -> PseudoLabel:
        """The pseudo-labels of both images, mixed like them."""
        return PseudoLabel(*(paste(a, b, self.box) for a, b in zip(own, partner, strict=True)))


def streams(views: int) -> tuple[Stream, ...]:
    """Labelled and unlabelled images, and a stream of partners, so that no rank needs another's images."""
    strong = replace(UNLABELLED, strong=views)
    return (LABELLED, strong, replace(strong, name="partner"))


def weak_images(batch: Batch) -> Tensor:
    """Labelled then unlabelled images in one tensor, so that batch normalisation sees both."""
    return torch.cat([batch["labelled"].image, batch["unlabelled"].image])


@torch.no_grad()
def pseudo_label(logits: Tensor) -> PseudoLabel:
    """The pseudo-label that logits `[B, K, H, W]` give."""
    confidence, ids = planar(logits).softmax(1).max(1)
    return PseudoLabel(ids, confidence)


def partner_label(network: nn.Module, image: Tensor) -> PseudoLabel:
    """The partner's pseudo-label, predicted in evaluation mode: the normalisation's statistics stay."""
    network.eval()
    with torch.no_grad():
        logits = network(image)[0]
    network.train()
    return pseudo_label(logits)


def mixed_views(batch: Batch, probability: float, seed: int, step: int) -> list[Mixed]:
    """Every strong view of the unlabelled images, each with boxes of its own."""
    own, partner = batch["unlabelled"], batch["partner"]
    views = []
    for number, (view, other) in enumerate(zip(own.strong, partner.strong, strict=True)):
        box = boxes(own.ids, view.shape[2:], AREA, 1, probability, seed, step, number).to(view.device)
        views.append(Mixed(paste(view, other, box), box))
    return views


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
