"""FixMatch for segmentation (Sohn et al., NeurIPS 2020, in the form of UniMatch's authors; methods/README 6): weak view teaches strong.

SSL4MIS's version relabels unsure pixels as background (methods/README 7.3); here they teach nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor

from framework.loading.loader import Batch
from framework.methods.base import Example, Method, MethodContext, Update
from framework.methods.common.losses import pixel_cross_entropy, planar, supervised_loss
from framework.methods.common.weak_to_strong import (
    WeakAndStrong,
    WeakToStrongConfig,
    mixed_images,
    mixed_views,
    partner_target,
    streams,
    target,
)


class FixMatch(Method):
    """One network."""

    class Config(WeakToStrongConfig):
        """One strong view with CutMix."""

        name: Literal["fixmatch"]

    learns_from = "masks + images"
    source = "Sohn et al., NeurIPS 2020, as UniMatch's authors have it"
    streams = streams(views=1)
    revision = 1  # normalisation forgets strong views

    def __init__(self, config: FixMatch.Config, context: MethodContext) -> None:
        super().__init__()
        self.config, self.context = config, context
        self.networks["network"] = WeakAndStrong(context.network(0))

    @classmethod
    def example(cls) -> dict[str, Example]:
        return {"": Example({"method": {"name": "fixmatch", "threshold": 0.3, "cutmix": 1.0}})}

    def train_step(self, batch: Batch, step: int) -> Iterator[Update]:
        partner = partner_target(self.networks["network"], batch["partner"].image)
        (mixed,) = mixed_views(batch, self.config.cutmix, self.context.seed, step)
        weak, strong = self.call("network", mixed_images(batch), mixed.image)
        mask = batch["labelled"].mask
        supervised = supervised_loss(weak[: len(mask)], mask)
        taught = mixed.target(target(weak[len(mask) :]), partner)
        keep = taught.confidence >= self.config.threshold
        unsupervised = pixel_cross_entropy(strong, taught.label, keep)
        weight = self.config.weight_at(step, self.context.steps)
        metrics = {
            "loss_supervised": supervised.detach(),
            "loss_unsupervised": unsupervised.detach(),
            "weight": torch.tensor(weight),
            "kept": keep.float().mean(),
        }
        yield Update("network", supervised + weight * unsupervised, metrics)

    def predict(self, image: Tensor) -> dict[str, Tensor]:
        (logits,) = self.networks["network"](image)
        return {"network 1": planar(logits).softmax(1)}
