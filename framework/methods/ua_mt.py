"""Uncertainty-aware Mean Teacher (Yu et al., MICCAI 2019; methods.md 6): consistency only where the teacher is sure."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import ClassVar, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from framework.corpus.loader import Batch, Stream, StreamBatch
from framework.methods.contract import Method, Read, Setting, Update
from framework.methods.losses import gaussian_ramp, planar, supervised_loss
from framework.methods.noise import noisy
from framework.methods.pair import STREAMS, mixed_images
from framework.methods.supervised import Single
from framework.methods.teacher import Teacher
from framework.training.collective import differentiable_total


class UAMTConfig(BaseModel):
    """Mean Teacher with a cut of the teacher's entropy."""

    model_config = ConfigDict(extra="forbid")
    name: Literal["ua_mt"]
    weight: float = Field(default=0.1, ge=0)
    """Of the consistency, after the ramp."""
    ramp: float = Field(default=0.3, ge=0, le=1)
    """Share of the run over which the weight rises (Gaussian)."""
    decay: float = Field(default=0.99, ge=0, lt=1)
    """Of the teacher's average."""
    noise: float = Field(default=0.1, ge=0)
    """Deviation of the noise on the teacher's input; images have deviation 1."""
    passes: int = Field(default=8, ge=1)
    """Noisy passes (with dropout, where the network has any) whose mean tells how sure the teacher is."""


class UAMT(Method):
    """One network that trains, and its teacher."""

    streams: ClassVar[tuple[Stream, ...]] = STREAMS

    def __init__(self, config: UAMTConfig, setting: Setting) -> None:
        super().__init__()
        self.config, self.setting = config, setting
        self.networks["network"] = Single(setting.network(0))
        self.teacher = Teacher(self.networks["network"], config.decay)

    def train_step(self, batch: Batch, step: int) -> Iterator[Update]:
        (logits,) = self.call("network", mixed_images(batch))
        mask, unlabelled = batch["labelled"].mask, batch["unlabelled"]
        supervised = supervised_loss(logits[: len(mask)], mask)
        keep = self.entropy(unlabelled, step) < entropy_cut(step, self.setting.steps)
        apart = (planar(logits[len(mask) :]).softmax(1) - self._target(unlabelled, step, 0)).square().sum(1)
        kept = keep.to(apart.dtype)
        sums = differentiable_total(torch.stack([(apart * kept).sum(), kept.sum()]))
        unsupervised = sums[0] / (2 * sums[1]).clamp_min(1)
        weight = self.config.weight * gaussian_ramp(step, self.config.ramp * self.setting.steps)
        metrics = {
            "loss_supervised": supervised.detach(),
            "loss_unsupervised": unsupervised.detach(),
            "weight": torch.tensor(weight),
            "kept": kept.mean(),
        }
        yield Update("network", supervised + weight * unsupervised, metrics)

    def entropy(self, unlabelled: StreamBatch, step: int) -> Tensor:
        """Of the mean prediction of the noisy passes, `[B, H, W]`, in 0 to ln K."""
        mean = torch.stack([self._target(unlabelled, step, i) for i in range(1, self.config.passes + 1)]).mean(0)
        return -(mean * mean.clamp_min(1e-6).log()).sum(1)

    def _target(self, unlabelled: StreamBatch, step: int, number: int) -> Tensor:
        return self.teacher(noisy(unlabelled.image, unlabelled.ids, self.config.noise, self.setting.seed, step, number))

    def after_step(self, step: int, read: Read) -> None:
        self.teacher.follow(self.networks["network"], step)

    def predict(self, image: Tensor) -> dict[str, Tensor]:
        """The student, as SSL4MIS tests it, and the teacher."""
        (logits,) = self.networks["network"](image)
        return {"network 1": planar(logits).softmax(1), "teacher": self.teacher(image)}


def entropy_cut(step: int, steps: int) -> float:
    """(3/4 + 1/4 ramp) ln 2: the paper's two classes' largest entropy, which its code keeps for more classes too."""
    return (0.75 + 0.25 * gaussian_ramp(step, steps)) * math.log(2)
