"""UniMatch (Yang et al., CVPR 2023; methods/README 6): FixMatch, two strong views and perturbed features."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from framework.core.rng import stable_seed
from framework.loading.loader import Batch
from framework.loading.training_set import CorpusConfig
from framework.methods import fixmatch
from framework.methods.base import MethodContext, Needs, Update
from framework.methods.common.losses import supervised_loss
from framework.methods.common.pair import WeakAndStrong
from framework.networks.dropout import drop_channels
from framework.networks.norm import kept_statistics


class UniMatch(fixmatch.FixMatch):
    """One network."""

    class Config(fixmatch.WeakToStrongConfig):
        """Weights are 0.25 for each strong view and 0.5 for the features, beside 1 for labelled images."""

        name: Literal["unimatch"]
        dropout: float = Field(default=0.5, ge=0, lt=1)
        """Share of the channels of every encoder level that the perturbed view loses."""

    source = "Yang et al., CVPR 2023"
    needs = Needs(volumes=False)
    streams = fixmatch.streams(views=2)
    revision = 2  # strong views are kept out of the normalisation's statistics; cross-entropy

    def __init__(self, config: UniMatch.Config, context: MethodContext) -> None:
        super().__init__(config, context)
        seen = self.networks["network"]
        assert isinstance(seen, WeakAndStrong)
        self.networks["network"] = Perturbed(seen.network, config.dropout)

    @classmethod
    def check(cls, config: Any, network: Any, corpus: CorpusConfig) -> None:
        if corpus.patch:
            fault = "method 'unimatch' perturbs features, which MONAI's networks do not hand out"
            raise ValueError(f"{fault}; use fixmatch for volumes")
        super().check(config, network, corpus)

    def train_step(self, batch: Batch, step: int) -> Iterator[Update]:
        partner = fixmatch.partner_label(self.networks["network"], batch["partner"].image)
        views = self.mixed_views(batch, step)
        ids, mask = batch["unlabelled"].ids, batch["labelled"].mask
        seeds = torch.tensor([stable_seed(self.context.seed, step, name) % 2**63 for name in ids])
        strong = torch.cat([view.image for view in views])
        both = torch.cat([batch["labelled"].image, batch["unlabelled"].image])
        weak, perturbed, strong = self.call("network", both, strong, seeds)
        own = fixmatch.pseudo_label(weak[len(mask) :])
        pairs = zip(strong.chunk(2), views, strict=True)
        first, second = (self.loss(logits, view.label(own, partner)) for logits, view in pairs)
        unsupervised = 0.25 * (first + second) + 0.5 * self.loss(perturbed, own)
        yield self.update(supervised_loss(weak[: len(mask)], mask), unsupervised, own, step)


class Perturbed(nn.Module):
    """A network that sees the unlabelled images again, with some channels of its features dropped."""

    def __init__(self, network: nn.Module, dropout: float) -> None:
        super().__init__()
        self.network, self.dropout = network, dropout

    def forward(
        self, weak: Tensor, strong: Tensor | None = None, seeds: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        """Logits of weak views; with strong views and seeds, of perturbed features and strong views too."""
        logits = self.network(weak)
        if strong is None or seeds is None:
            return (logits,)
        with kept_statistics(self.network):
            perturbed = self.network(weak[-len(seeds) :], lambda levels: self._dropped(levels, seeds))
            return logits, perturbed, self.network(strong)

    def _dropped(self, levels: list[Tensor], seeds: Tensor) -> list[Tensor]:
        """Features without the dropped channels of each image; level 0, the image itself, stays."""
        draws = [torch.Generator().manual_seed(int(seed)) for seed in seeds]
        return [levels[0], *(drop_channels(level, self.dropout, draws) for level in levels[1:])]
