"""FixMatch for segmentation (Sohn et al., NeurIPS 2020, in the form of UniMatch's authors; methods.md 6): weak view teaches strong.

SSL4MIS's version relabels unsure pixels as background (methods.md 7.3); here they teach nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor

from framework.corpus.loader import Batch
from framework.methods.contract import Method, Setting, Update
from framework.methods.losses import pixel_entropy, planar, supervised_loss
from framework.methods.weak_to_strong import (
    WeakAndStrong,
    WeakToStrongConfig,
    mixed_images,
    mixed_views,
    partner_target,
    streams,
    target,
)


class FixMatchConfig(WeakToStrongConfig):
    """One strong view with CutMix."""

    name: Literal["fixmatch"]


class FixMatch(Method):
    """One network."""

    streams = streams(views=1)
    revision = 1  # normalisation forgets strong views

    def __init__(self, config: FixMatchConfig, setting: Setting) -> None:
        super().__init__()
        self.config, self.setting = config, setting
        self.networks["network"] = WeakAndStrong(setting.network(0))

    def train_step(self, batch: Batch, step: int) -> Iterator[Update]:
        partner = partner_target(self.networks["network"], batch["partner"].image)
        (mixed,) = mixed_views(batch, self.config.cutmix, self.setting.seed, step)
        weak, strong = self.call("network", mixed_images(batch), mixed.image)
        mask = batch["labelled"].mask
        supervised = supervised_loss(weak[: len(mask)], mask)
        taught = mixed.target(target(weak[len(mask) :]), partner)
        keep = taught.confidence >= self.config.threshold
        unsupervised = pixel_entropy(strong, taught.label, keep)
        weight = self.config.weight_at(step, self.setting.steps)
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
