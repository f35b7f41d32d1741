"""DII, dynamic instance indicators (Pan et al., AAAI 2022; methods/README 5.2, 5.3): weights of weak masks.

An image whose weak mask pulls the network the way the true masks do gains weight, one that pulls against them
loses it. Methods/README 5.3 also says where this departs from the authors, and why.
"""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from pydantic import BaseModel, Field
from torch import Tensor, nn
from torch.func import grad

from framework.core.artifact import read_part
from framework.core.distributed import all_reduce_sum
from framework.core.settings import Settings
from framework.methods.base import Read
from framework.methods.common.losses import supervised_loss_of, supervised_sums
from framework.methods.dcr.influence import SCOPES
from framework.methods.sections import Block, Histogram, LineChart, ModelPicture, ModelRecord, Section, Series

LEAST_MEAN = 0.1
"""Least mean of the indicators that they are divided by: else one mask alone could weigh as much as all."""


class IndicatorConfig(Settings):
    """Defaults of the authors' code but for `decay` and `beta`."""

    scope: Literal["last", "all"] = "last"
    """Gradients of the last layer's weight in closed form, or of all parameters by one forward-mode pass."""
    initial: float = Field(default=1.0, ge=0, le=1)
    """First value of all indicators, which makes equal weights; below 1 leaves room to rise."""
    lr: float = Field(default=0.1, gt=0)
    """Learning rate of their Adam, by the poly schedule: how far an influence of typical size moves one."""
    beta: float = Field(default=0.5, ge=0, lt=1)
    """Decay of both moments."""
    start: int = Field(default=400, ge=1)
    """Steps before the first update."""
    interval: int = Field(default=400, ge=1)
    """Steps between updates; in short runs about one epoch of the weak images is right."""
    decay: float = Field(default=0.99, ge=0, lt=1)
    """Decay of the averaged weights that gradients are taken of; 0: the network's own, as the authors do."""
    momentum: float = Field(default=0.0, ge=0, lt=1)
    """Momentum of the strong gradient's average; 0 takes it anew from all strong images in each update."""


class Indicators(nn.Module):
    """Indicators in [0, 1] of the weak images, equal on all ranks, and the state of their optimiser."""

    value: Tensor
    """`[M]`, for M weak images."""
    first: Tensor
    """Adam's first moment `[M]`."""
    second: Tensor
    """Adam's second moment, one of all."""
    gradient: Tensor
    """Moving average of the strong gradient, flat."""
    updates: Tensor

    def __init__(self, config: IndicatorConfig, steps: int, classes: int) -> None:
        super().__init__()
        self.config, self.steps, self.classes = config, steps, classes
        self.scope = SCOPES[config.scope]
        self.places: dict[str, int] = {}
        for name in ("value", "first", "gradient"):
            self.register_buffer(name, torch.empty(0))
        for name in ("second", "updates"):
            self.register_buffer(name, torch.zeros(()))

    def prepare(self, ids: Sequence[str], network: nn.Module) -> None:
        """Make room for the weak images of a run."""
        self.places = {name: place for place, name in enumerate(ids)}
        self.value = torch.full((len(ids),), self.config.initial)
        self.first = torch.zeros(len(ids))
        self.gradient = torch.zeros(self.scope.size(network))

    def sample_weights(self, ids: Sequence[str]) -> Tensor:
        """Sample weights `[B]`, at most 10; their mean over all weak images is 1, less if most are near 0."""
        return self.value[[self.places[name] for name in ids]] / self.value.mean().clamp_min(LEAST_MEAN)

    def update(self, step: int, network: nn.Module, read: Read) -> None:
        """Algorithm 1: after `start` steps and then every `interval`, move indicators by their influence."""
        done = step + 1
        if done < self.config.start or (done - self.config.start) % self.config.interval:
            return
        training = network.training
        network.eval()
        momentum = self.config.momentum if self.updates > 0 else 0.0
        self.gradient.lerp_(self.strong_gradient(network, read), 1 - momentum)
        influence = self._influences(network, read)
        network.train(training)
        self._adam(influence, self.config.lr * (1 - step / self.steps) ** 0.9)

    def strong_gradient(self, network: nn.Module, read: Read) -> Tensor:
        """Flat gradient of the training loss over the strong images of all ranks as one batch.

        The loss is a function of sums over images: by the chain rule its gradient is theirs times its slope.
        """
        slope = grad(supervised_loss_of)(self._strong_sums(network, read))

        def loss(logits: Tensor, mask: Tensor) -> Tensor:
            return (supervised_sums(logits, mask) * slope).sum()

        gradient = torch.zeros_like(self.gradient)
        for part in read("labelled"):
            gradient += self.scope.gradient(network, part.image, part.mask, loss)
        return all_reduce_sum(gradient)

    @torch.no_grad()
    def _strong_sums(self, network: nn.Module, read: Read) -> Tensor:
        sums = self.gradient.new_zeros(2 + 2 * self.classes)
        for part in read("labelled"):
            sums += supervised_sums(network(part.image), part.mask)
        return all_reduce_sum(sums)

    def _influences(self, network: nn.Module, read: Read) -> Tensor:
        """<g_S, g_k> of every weak image `[M]`, 0 for a mask without labelled pixels."""
        influences = torch.zeros_like(self.first)
        for part in read("weak"):
            places = [self.places[name] for name in part.ids]
            influences[places] = self.scope.influence(network, part.image, part.mask, self.gradient)
        return all_reduce_sum(influences)  # each image is on one rank

    def _adam(self, influence: Tensor, lr: float) -> None:
        """One Adam step on -s with one scale for all, clamped; masks without labelled pixels get the mean."""
        known = influence != 0
        if not known.any():
            return
        self.updates += 1
        self.first.lerp_(influence, 1 - self.config.beta)
        self.second.lerp_(influence[known].square().mean(), 1 - self.config.beta)
        unbiased = 1 - self.config.beta**self.updates
        self.value.add_(lr * self.first / unbiased / (self.second / unbiased).sqrt()).clamp_(0, 1)
        self.value[~known] = self.value[known].mean()

    def quantiles(self) -> Tensor:
        """Least, lower quartile, median, upper quartile and largest indicator."""
        return self.value.quantile(torch.linspace(0, 1, 5, dtype=self.value.dtype, device=self.value.device))

    def table(self) -> dict[str, list]:
        """Image ids and their indicators."""
        return {"id": list(self.places), "weight": self.value.tolist()}

    def _load_from_state_dict(self, state: dict[str, Any], prefix: str, *rest: Any) -> None:
        for name in ("value", "first", "gradient"):  # as large as the run's, which a predictor does not know
            if prefix + name in state:
                setattr(self, name, torch.empty_like(state[prefix + name], device=self.updates.device))
        super()._load_from_state_dict(state, prefix, *rest)


ABOUT = (
    "Every weakly masked image has a weight from 0 to 1: images whose mask pulled the network the way the "
    "true masks do kept theirs, images whose mask pulled against them lost it. In training each counts by "
    "its weight over the mean of all."
)
QUANTILES = ("least", "lower quartile", "median", "upper quartile", "largest")


class LeastTrusted(BaseModel):
    """An entry of the table's `pictures.json`: an image, its weight and the file of its picture."""

    case: str
    weight: float
    file: str


def indicator_sections(record: ModelRecord) -> list[Section]:
    """The distribution of the indicators, their quantiles over steps, and the least trusted masks, if any."""
    folder = record.store / "indicators"
    if not folder.exists("artifact.json"):
        return []
    weights = np.array(folder.read_table("rows-00000.parquet")["weight"].to_pylist())
    counts, edges = np.histogram(weights, 10, (0.0, 1.0))
    bins = list(zip(edges[:-1].tolist(), edges[1:].tolist(), counts.tolist(), strict=True))
    least = read_part(folder, "pictures.json", list[LeastTrusted])
    blocks = [Block(histogram=Histogram("Weight", bins), charts=_charts(record))]
    blocks += [Block("Least trusted", pictures=[*map(_picture, least)])]
    summary = f"{len(weights):,} images, mean weight {weights.mean():.2f}."
    return [Section("Trust in weak masks", ABOUT, summary, blocks)]


def _charts(record: ModelRecord) -> list[LineChart]:
    history = [(step, values["indicators"]) for step, values in record.statistics("indicators")]
    if not history:
        return []
    lines = [Series(name, [(step, q[i]) for step, q in history], i) for i, name in enumerate(QUANTILES)]
    return [LineChart("Weights of all weak images", lines, include=(0.0, 1.0))]


def _picture(shown: LeastTrusted) -> ModelPicture:
    caption = f"weight {shown.weight:.2f}"
    return ModelPicture(f"indicators/{shown.file}", ("image", "weak mask"), shown.case, caption)
