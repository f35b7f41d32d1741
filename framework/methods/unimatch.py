"""UniMatch (Yang et al., CVPR 2023; methods/README 6): FixMatch with two strong views and one of perturbed features.

Sure pixels teach by cross-entropy, as in the paper's equations and as FixMatch does here. The authors' code for ACDC has soft Dice
in its place: the few sure pixels of a rare class then weigh as much as the whole background, which in short runs kept the network
from fitting its masks.
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
from framework.methods.common.losses import pixel_cross_entropy, planar, supervised_loss
from framework.methods.common.weak_to_strong import (
    Target,
    WeakToStrongConfig,
    mixed_images,
    mixed_views,
    partner_target,
    streams,
    target,
)
from framework.networks.dropout import drop_channels
from framework.networks.norm import kept_statistics


class UniMatch(Method):
    """One network."""

    class Config(WeakToStrongConfig):
        """Its weights are 0.25 and 0.25 for the strong views and 0.5 for the features, beside 1 for the labelled images."""

        name: Literal["unimatch"]
        dropout: float = Field(default=0.5, ge=0, lt=1)
        """Share of the channels of every encoder level that the perturbed view loses."""

    learns_from = "masks + images"
    source = "Yang et al., CVPR 2023"
    needs = Needs(volumes=False)
    streams = streams(views=2)
    revision = 2  # normalisation forgets strong views; cross-entropy

    def __init__(self, config: UniMatch.Config, context: MethodContext) -> None:
        super().__init__()
        self.config, self.context = config, context
        self.networks["network"] = Perturbed(context.network(0), config.dropout)

    @classmethod
    def example(cls) -> dict[str, Example]:
        return {"": Example({"method": {"name": "unimatch", "threshold": 0.3, "cutmix": 1.0}})}

    @classmethod
    def check(cls, config: Any, network: Any, corpus: CorpusConfig) -> None:
        if corpus.patch:
            fault = "method 'unimatch' perturbs features, which MONAI's networks do not hand out"
            raise ValueError(f"{fault}; use fixmatch for volumes")
        super().check(config, network, corpus)

    def train_step(self, batch: Batch, step: int) -> Iterator[Update]:
        partner = partner_target(self.networks["network"], batch["partner"].image)
        views = mixed_views(batch, self.config.cutmix, self.context.seed, step)
        seeds = torch.tensor(
            [stable_seed(self.context.seed, step, name) % 2**63 for name in batch["unlabelled"].ids]
        )
        weak, perturbed, strong = self.call(
            "network", mixed_images(batch), torch.cat([view.image for view in views]), seeds
        )
        mask = batch["labelled"].mask
        supervised = supervised_loss(weak[: len(mask)], mask)
        own = target(weak[len(mask) :])
        mixed = [
            self._loss(z, view.target(own, partner)) for z, view in zip(strong.chunk(2), views, strict=True)
        ]
        unsupervised = 0.25 * (mixed[0] + mixed[1]) + 0.5 * self._loss(perturbed, own)
        weight = self.config.weight_at(step, self.context.steps)
        metrics = {
            "loss_supervised": supervised.detach(),
            "loss_unsupervised": unsupervised.detach(),
            "weight": torch.tensor(weight),
            "kept": (own.confidence >= self.config.threshold).float().mean(),
        }
        yield Update("network", supervised + weight * unsupervised, metrics)

    def _loss(self, logits: Tensor, taught: Target) -> Tensor:
        return pixel_cross_entropy(logits, taught.label, taught.confidence >= self.config.threshold)

    def predict(self, image: Tensor) -> dict[str, Tensor]:
        return {"network 1": planar(self.networks["network"](image)[0]).softmax(1)}


class Perturbed(nn.Module):
    """A network that sees the unlabelled images a second time, with some channels of its features dropped."""

    def __init__(self, network: nn.Module, dropout: float) -> None:
        super().__init__()
        self.network, self.dropout = network, dropout

    def forward(
        self, weak: Tensor, strong: Tensor | None = None, seeds: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        """Logits of the weak views; with strong views and a seed per unlabelled image also of perturbed and strong ones."""
        if strong is None or seeds is None:
            return (self.network(weak),)
        logits = self.network(weak)
        with kept_statistics(self.network):
            perturbed = self.network(weak[-len(seeds) :], lambda levels: self._dropped(levels, seeds))
            return logits, perturbed, self.network(strong)

    def _dropped(self, levels: list[Tensor], seeds: Tensor) -> list[Tensor]:
        """Features without the dropped channels of each image; level 0 is the image itself."""
        draws = [torch.Generator().manual_seed(int(seed)) for seed in seeds]
        return [levels[0], *(drop_channels(level, self.dropout, draws) for level in levels[1:])]
