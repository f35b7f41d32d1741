"""FixMatch (Sohn et al., NeurIPS 2020) as UniMatch's authors have it for segmentation (methods/README 6)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn

from framework.loading.loader import Batch, Stream
from framework.methods.base import Example, Method, MethodContext, Update
from framework.methods.common.losses import (
    WeightRamp,
    pixel_cross_entropy,
    planar,
    supervised_loss,
    weighted_update,
)
from framework.methods.common.noise import boxes, paste
from framework.methods.common.pair import UNLABELLED, WeakAndStrong
from framework.methods.supervised import LABELLED

AREA = (0.02, 0.4)
"""Least and largest share of the image that a box covers (UniMatch's code)."""


def streams(views: int) -> tuple[Stream, ...]:
    """Labelled and unlabelled images, and a stream of partners, so that no rank needs another's images."""
    strong = replace(UNLABELLED, strong=views)
    return (LABELLED, strong, replace(strong, name="partner"))


class WeakToStrongConfig(WeightRamp):
    """The papers' weights and thresholds. UniMatch's code halves all weights, which Adam ignores."""

    weight: float = Field(default=1.0, ge=0)
    ramp: float = Field(default=0.0, ge=0, le=1)
    """The papers have none; with one early pseudo-labels, mostly background, count less."""
    threshold: float = Field(default=0.95, ge=0, le=1)
    """Least confidence of a pseudo-label."""
    cutmix: float = Field(default=0.5, ge=0, le=1)
    """Probability of a CutMix box."""


class FixMatch(Method):
    """One network."""

    class Config(WeakToStrongConfig):
        """One strong view with CutMix."""

        name: Literal["fixmatch"]

    learns_from = "masks + images"
    source = "Sohn et al., NeurIPS 2020, as UniMatch's authors have it"
    streams = streams(views=1)
    revision = 1  # strong views are kept out of the normalisation's statistics
    examples = {"": Example({"threshold": 0.3, "cutmix": 1.0})}

    def __init__(self, config: WeakToStrongConfig, context: MethodContext) -> None:
        super().__init__()
        self.config, self.context = config, context
        self.networks["network"] = WeakAndStrong(context.network(0))

    def train_step(self, batch: Batch, step: int) -> Iterator[Update]:
        partner = partner_label(self.networks["network"], batch["partner"].image)
        (mixed,) = self.mixed_views(batch, step)
        both = torch.cat([batch["labelled"].image, batch["unlabelled"].image])  # normalised together
        weak, strong = self.call("network", both, mixed.image)
        mask = batch["labelled"].mask
        label = mixed.label(pseudo_label(weak[len(mask) :]), partner)
        yield self.update(supervised_loss(weak[: len(mask)], mask), self.loss(strong, label), label, step)

    def mixed_views(self, batch: Batch, step: int) -> list[Mixed]:
        """Every strong view of the unlabelled images, each with boxes of its own."""
        own, partner = batch["unlabelled"], batch["partner"]
        views = []
        for number, (view, other) in enumerate(zip(own.strong, partner.strong, strict=True)):
            drawn_by = self.context.seed, step, number
            box = boxes(own.ids, view.shape[2:], AREA, 1, self.config.cutmix, *drawn_by).to(view.device)
            views.append(Mixed(paste(view, other, box), box))
        return views

    def loss(self, logits: Tensor, label: PseudoLabel) -> Tensor:
        """Cross-entropy of the confident pixels, over the number of all."""
        return pixel_cross_entropy(logits, label.ids, label.confidence >= self.config.threshold)

    def update(self, supervised: Tensor, unsupervised: Tensor, label: PseudoLabel, step: int) -> Update:
        """The step's update; logs the confident share of the pseudo-labels as `kept`."""
        weight = self.config.weight_at(step, self.context.steps)
        kept = (label.confidence >= self.config.threshold).float().mean()
        return weighted_update("network", supervised, unsupervised, weight, kept=kept)

    def predict(self, image: Tensor) -> dict[str, Tensor]:
        return {"network 1": planar(self.networks["network"](image)[0]).softmax(1)}


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
