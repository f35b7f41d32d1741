"""DCR, dynamic co-regularisation, also with DII's indicators (Pan et al., AAAI 2022; methods/README 5.4).

Two networks learn each other's pseudo-labels on mixed images, boxes of weakly masked ones pasted into strong
ones; weak masks, and pseudo-labels on their images, are weighted by their indicators.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from framework.loading.loader import Batch
from framework.methods.base import Example, Method, MethodContext, Read, Update
from framework.methods.common.losses import WeightRamp, hard_labels, partial_cross_entropy, per_pixel, planar
from framework.methods.common.noise import boxes, paste
from framework.methods.common.pair import Pair, cross_loss, predict_pair, supervised_pair
from framework.methods.common.teacher import Teacher
from framework.methods.dcr.indicators import IndicatorConfig, Indicators, indicator_sections
from framework.methods.mixing import STREAMS
from framework.methods.sections import ModelRecord, Section

AREA, BOXES = (0.25, 0.5), 3
"""Boxes of a mixed image: the share of the area they cover together, and how many (methods/README 5.4)."""

BOXED = {"corpus": {"layers": ["box"]}}
EVERY_FOUR = {"initial": 0.5, "start": 2, "interval": 4}


class DCR(Method):
    """Two networks, one optimiser, and an indicator per weak image."""

    class Config(WeightRamp):
        """The paper has weights of 1 and no ramp, its authors' later variant 0.5 for `weak` and `weight`."""

        name: Literal["dcr"]
        weight: float = Field(default=1.0, ge=0)
        ramp: float = Field(default=0.0, ge=0, le=1)
        weak: float = Field(default=1.0, ge=0)
        """Weight of the loss on weak masks."""
        indicators: IndicatorConfig | None = None
        """How the sample weights of weak images are learnt; without it all are 1."""

    learns_from = "masks + weak masks"
    source = "DCR, with `indicators` also DII; Pan et al., AAAI 2022"
    streams = STREAMS
    revision = 1  # indicators share a scale, and weight the pseudo-labels of mixed images too
    examples = {
        "": Example({}, BOXED, volumes=True),
        "dii": Example({"indicators": EVERY_FOUR}, BOXED, volumes=True),
        "dii-all": Example({"indicators": {**EVERY_FOUR, "scope": "all", "momentum": 0.5}}, BOXED),
    }

    def __init__(self, config: DCR.Config, context: MethodContext) -> None:
        super().__init__()
        self.config, self.context = config, context
        self.networks["pair"] = Pair(context)
        self.indicators: Indicators | None = None
        if config.indicators is not None:
            self.indicators = Indicators(config.indicators, context.steps, context.classes)
            self.average = Teacher(self.first, config.indicators.decay)

    @classmethod
    def bound_to_steps(cls, config: Config) -> str:
        return super().bound_to_steps(config) if config.indicators is None else "method.indicators"

    def prepare(self, ids: Mapping[str, Sequence[str]], read: Read) -> None:
        if self.indicators is not None:
            self.indicators.prepare(ids["weak"], self.first)

    def train_step(self, batch: Batch, step: int) -> Iterator[Update]:
        strong, weak = batch["labelled"], batch["weak"]
        shape, drawn_by = weak.mask.shape[1:], (self.context.seed, step)
        box = boxes(weak.ids, shape, AREA, BOXES, 1.0, *drawn_by).to(weak.mask.device)
        images = torch.cat([strong.image, weak.image, paste(strong.image, weak.image, box)])
        on_strong, on_weak, on_mixed = zip(*(z.chunk(3) for z in self.call("pair", images)), strict=True)
        sample_weight = self._sample_weight(weak.ids, weak.image)
        supervised = supervised_pair(on_strong, strong.mask)
        weakly = torch.stack([partial_cross_entropy(z, weak.mask, sample_weight) for z in on_weak]).sum()
        unmixed = zip(on_strong, on_weak, strict=True)
        labels = [paste(hard_labels(planar(s)), hard_labels(planar(w)), box) for s, w in unmixed]
        pixel_weight = per_pixel((1 + sample_weight) / 2, box)  # of a pseudo-label: the mean of both images'
        regular = cross_loss(on_mixed, labels, (pixel_weight, pixel_weight))
        weight = self.config.weight_at(step, self.context.steps)
        metrics = {
            "loss_supervised": supervised.detach(),
            "loss_weak": weakly.detach(),
            "loss_unsupervised": regular.detach(),
            "weight": torch.tensor(weight),
            "sample_weight": sample_weight.mean(),
        }
        yield Update("pair", supervised + self.config.weak * weakly + weight * regular, metrics)

    @property
    def first(self) -> nn.Module:
        """Network 1, whose average's gradients are the influences of weak masks."""
        pair = self.networks["pair"]
        assert isinstance(pair, Pair)
        return pair.first

    def _sample_weight(self, ids: Sequence[str], image: Tensor) -> Tensor:
        """Weights `[B]` of weak images, 0 or more, over all of them 1 on average."""
        if self.indicators is None:
            return image.new_ones(len(ids))
        return self.indicators.sample_weights(ids).to(image.dtype)

    def after_step(self, step: int, read: Read) -> None:
        if self.indicators is not None:
            self.average.follow(self.first, step)
            self.indicators.update(step, self.average.network, read)

    def predict(self, image: Tensor) -> dict[str, Tensor]:
        probabilities = predict_pair(self.networks["pair"](image))
        return {name: probabilities[name] for name in ("network 1", "both")}

    @classmethod
    def report(cls, record: ModelRecord) -> list[Section]:
        return indicator_sections(record)

    def statistics(self) -> dict[str, Tensor]:
        return {} if self.indicators is None else {"indicators": self.indicators.quantiles()}

    def tables(self) -> dict[str, dict[str, list]]:
        return {} if self.indicators is None else {"indicators": self.indicators.table()}
