"""UniMatch (Yang et al., CVPR 2023; methods/README 6): FixMatch with two strong views and perturbed features.

Pseudo-labels are learnt by cross-entropy, as in the paper's equations and in FixMatch here. The authors' code
for ACDC has soft Dice instead: the few confident pixels of a rare class then weigh as much as the whole
background, which in short runs kept the network from fitting its masks.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from framework.core.rng import stable_seed
from framework.loading.loader import Batch
from framework.loading.training_set import CorpusConfig
from framework.methods.base import Example, Method, MethodContext, Needs, Update
from framework.methods.common import weak_to_strong
from framework.methods.common.losses import pixel_cross_entropy, planar, supervised_loss
from framework.methods.common.update import semi_supervised_update
from framework.methods.common.weak_to_strong import PseudoLabel, WeakToStrongConfig, pseudo_label
from framework.networks.dropout import drop_channels
from framework.networks.norm import kept_statistics


class UniMatch(Method):
    """One network."""

    class Config(WeakToStrongConfig):
        """Weights are 0.25 for each strong view and 0.5 for the features, beside 1 for labelled images."""

        name: Literal["unimatch"]
        dropout: float = Field(default=0.5, ge=0, lt=1)
        """Share of the channels of every encoder level that the perturbed view loses."""

    learns_from = "masks + images"
    source = "Yang et al., CVPR 2023"
    needs = Needs(volumes=False)
    streams = weak_to_strong.streams(views=2)
    revision = 2  # strong views are kept out of the normalisation's statistics; cross-entropy
    examples = {"": Example({"threshold": 0.3, "cutmix": 1.0})}

    def __init__(self, config: UniMatch.Config, context: MethodContext) -> None:
        super().__init__()
        self.config, self.context = config, context
        self.networks["network"] = Perturbed(context.network(0), config.dropout)

    @classmethod
    def check(cls, config: Any, network: Any, corpus: CorpusConfig) -> None:
        if corpus.patch:
            fault = "method 'unimatch' perturbs features, which MONAI's networks do not hand out"
            raise ValueError(f"{fault}; use fixmatch for volumes")
        super().check(config, network, corpus)

    def train_step(self, batch: Batch, step: int) -> Iterator[Update]:
        partner = weak_to_strong.partner_label(self.networks["network"], batch["partner"].image)
        views = weak_to_strong.mixed_views(batch, self.config.cutmix, self.context.seed, step)
        ids, mask = batch["unlabelled"].ids, batch["labelled"].mask
        seeds = torch.tensor([stable_seed(self.context.seed, step, name) % 2**63 for name in ids])
        strong = torch.cat([view.image for view in views])
        weak, perturbed, strong = self.call("network", weak_to_strong.weak_images(batch), strong, seeds)
        supervised = supervised_loss(weak[: len(mask)], mask)
        own = pseudo_label(weak[len(mask) :])
        first, second = (
            self._loss(z, view.label(own, partner)) for z, view in zip(strong.chunk(2), views, strict=True)
        )
        unsupervised = 0.25 * (first + second) + 0.5 * self._loss(perturbed, own)
        weight = self.config.weight_at(step, self.context.steps)
        kept = (own.confidence >= self.config.threshold).float().mean()
        yield semi_supervised_update("network", supervised, unsupervised, weight, kept=kept)

    def _loss(self, logits: Tensor, label: PseudoLabel) -> Tensor:
        return pixel_cross_entropy(logits, label.ids, label.confidence >= self.config.threshold)

    def predict(self, image: Tensor) -> dict[str, Tensor]:
        return {"network 1": planar(self.networks["network"](image)[0]).softmax(1)}


class Perturbed(nn.Module):
    """A network that sees the unlabelled images again, with some channels of its features dropped."""

    def __init__(self, network: nn.Module, dropout: float) -> None:
        super().__init__()
        self.network, self.dropout = network, dropout

    def forward(
        self, weak: Tensor, strong: Tensor | None = None, seeds: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        """Logits of weak views; with strong views and seeds, of perturbed features and strong views too."""
        if strong is None or seeds is None:
            return (self.network(weak),)
        logits = self.network(weak)
        with kept_statistics(self.network):
            perturbed = self.network(weak[-len(seeds) :], lambda levels: self._dropped(levels, seeds))
            return logits, perturbed, self.network(strong)

    def _dropped(self, levels: list[Tensor], seeds: Tensor) -> list[Tensor]:
        """Features without the dropped channels of each image; level 0, the image itself, stays."""
        draws = [torch.Generator().manual_seed(int(seed)) for seed in seeds]
        return [levels[0], *(drop_channels(level, self.dropout, draws) for level in levels[1:])]
