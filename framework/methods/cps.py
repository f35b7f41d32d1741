"""Cross pseudo supervision (Chen et al., CVPR 2021; methods/README 6)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from torch import Tensor

from framework.loading.loader import Batch
from framework.methods.base import Example, Method, MethodContext, Update
from framework.methods.common.losses import WeightRamp, hard_labels, planar, weighted_update
from framework.methods.common.pair import STREAMS, Pair, cross_loss, predict_pair, supervised_pair, views


class CPS(Method):
    """Two networks that learn each other's hard labels, one optimiser."""

    class Config(WeightRamp):
        """Cross supervision on unlabelled images only, as SSL4MIS has it."""

        name: Literal["cps"]

    learns_from = "masks + images"
    source = "cross pseudo supervision, Chen et al., CVPR 2021; weak views teach strong ones"
    streams = STREAMS
    revision = 1  # strong views
    examples = {"": Example({"ramp": 0.0}, volumes=True)}

    def __init__(self, config: CPS.Config, context: MethodContext) -> None:
        super().__init__()
        self.config, self.context = config, context
        self.networks["pair"] = Pair(context)

    def train_step(self, batch: Batch, step: int) -> Iterator[Update]:
        logits = self.call("pair", *views(batch))
        supervised = supervised_pair(logits[:2], batch["labelled"].mask)
        labels = [hard_labels(planar(z)) for z in logits[2:4]]
        unsupervised = cross_loss(logits[4:], labels)
        weight = self.config.weight_at(step, self.context.steps)
        apart = (labels[0] != labels[1]).float().mean()
        yield weighted_update("pair", supervised, unsupervised, weight, disagreement=apart)

    def predict(self, image: Tensor) -> dict[str, Tensor]:
        return predict_pair(self.networks["pair"](image))
