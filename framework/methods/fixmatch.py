"""FixMatch for segmentation (Sohn et al., NeurIPS 2020, in the form of UniMatch's authors; methods/README 6).

The weak view's confident pixels are pseudo-labels of the strong view. SSL4MIS's version relabels the others
as background (methods/README 7.3); here they count for nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from torch import Tensor

from framework.loading.loader import Batch
from framework.methods.base import Example, Method, MethodContext, Update
from framework.methods.common import weak_to_strong
from framework.methods.common.losses import pixel_cross_entropy, planar, supervised_loss
from framework.methods.common.update import semi_supervised_update
from framework.methods.common.weak_to_strong import WeakAndStrong, WeakToStrongConfig, pseudo_label


class FixMatch(Method):
    """One network."""

    class Config(WeakToStrongConfig):
        """One strong view with CutMix."""

        name: Literal["fixmatch"]

    learns_from = "masks + images"
    source = "Sohn et al., NeurIPS 2020, as UniMatch's authors have it"
    streams = weak_to_strong.streams(views=1)
    revision = 1  # strong views are kept out of the normalisation's statistics
    examples = {"": Example({"threshold": 0.3, "cutmix": 1.0})}

    def __init__(self, config: FixMatch.Config, context: MethodContext) -> None:
        super().__init__()
        self.config, self.context = config, context
        self.networks["network"] = WeakAndStrong(context.network(0))

    def train_step(self, batch: Batch, step: int) -> Iterator[Update]:
        partner = weak_to_strong.partner_label(self.networks["network"], batch["partner"].image)
        (mixed,) = weak_to_strong.mixed_views(batch, self.config.cutmix, self.context.seed, step)
        weak, strong = self.call("network", weak_to_strong.weak_images(batch), mixed.image)
        mask = batch["labelled"].mask
        supervised = supervised_loss(weak[: len(mask)], mask)
        label = mixed.label(pseudo_label(weak[len(mask) :]), partner)
        keep = label.confidence >= self.config.threshold
        unsupervised = pixel_cross_entropy(strong, label.ids, keep)
        weight = self.config.weight_at(step, self.context.steps)
        yield semi_supervised_update("network", supervised, unsupervised, weight, kept=keep.float().mean())

    def predict(self, image: Tensor) -> dict[str, Tensor]:
        (logits,) = self.networks["network"](image)
        return {"network 1": planar(logits).softmax(1)}
