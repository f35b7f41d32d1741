"""What methods share whose weak views teach strong ones: the network for both; for FixMatch and UniMatch also targets and boxes.

Normalisation remembers no strong view, as predictions are made on images unlike these; in the authors' code of FixMatch and
UniMatch its running statistics are of both.
"""

from __future__ import annotations

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
"""Share of the image that a box covers (UniMatch's code)."""


class WeakToStrongConfig(Settings):
    """The papers' own weights and thresholds; neither has a ramp. UniMatch's code halves all, which Adam does not see."""

    weight: float = Field(default=1.0, ge=0)
    """Of the unsupervised terms together, after the ramp."""
    ramp: float = Field(default=0.0, ge=0, le=1)
    """Share of the run over which the weight rises (Gaussian): in short runs early labels are mostly background."""
    threshold: float = Field(default=0.95, ge=0, le=1)
    """A pixel of the weak view teaches from this confidence on."""
    cutmix: float = Field(default=0.5, ge=0, le=1)
    """Probability of a CutMix box."""

    def weight_at(self, step: int, steps: int) -> float:
        """The weight in a step of a run."""
        return self.weight * gaussian_ramp(step, self.ramp * steps)


class Target(NamedTuple):
    """What a prediction says: labels and their probability, both `[B, H, W]`."""

    label: Tensor
    confidence: Tensor


class Mixed(NamedTuple):
    """A strong view `[B, C, H, W]` with a box `[B, H, W]` of the partner's in it."""

    image: Tensor
    box: Tensor

    def target(self, own: Target, partner: Target) -> Target:
        """The labels and confidences of both images, put together by the same box."""
        return Target(
            paste(own.label, partner.label, self.box), paste(own.confidence, partner.confidence, self.box)
        )


def streams(views: int) -> tuple[Stream, ...]:
    """Labelled images, and unlabelled ones with partners from a stream of its own, so that no rank needs another's images."""
    strong = replace(UNLABELLED, strong=views)
    return (LABELLED, strong, replace(strong, name="partner"))


def mixed_images(batch: Batch) -> Tensor:
    """Labelled then unlabelled images in one tensor, so that batch normalisation sees both."""
    return torch.cat([batch["labelled"].image, batch["unlabelled"].image])


@torch.no_grad()
def target(logits: Tensor) -> Target:
    """What logits `[B, K, H, W]` say."""
    confidence, label = planar(logits).softmax(1).max(1)
    return Target(label, confidence)


def partner_target(network: nn.Module, image: Tensor) -> Target:
    """The partner's target, from a prediction in evaluation mode: it does not disturb the normalisation's statistics."""
    network.eval()
    with torch.no_grad():
        logits = network(image)[0]
    network.train()
    return target(logits)


def mixed_views(batch: Batch, probability: float, seed: int, step: int) -> list[Mixed]:
    """Every strong view of the unlabelled images, each with boxes of its own."""
    own, partner = batch["unlabelled"], batch["partner"]
    found = []
    for number, (view, other) in enumerate(zip(own.strong, partner.strong, strict=True)):
        box = boxes(own.ids, view.shape[2:], AREA, 1, probability, seed, step, number).to(view.device)
        found.append(Mixed(paste(view, other, box), box))
    return found


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
