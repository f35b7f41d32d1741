"""Uncertainty-aware Mean Teacher (Yu et al., MICCAI 2019; methods/README 6)."""

from __future__ import annotations

import math
from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from framework.core.distributed import all_reduce_sum
from framework.loading.loader import StreamBatch
from framework.methods.base import Example
from framework.methods.common.losses import gaussian_ramp
from framework.methods.mean_teacher import MeanTeacher, TeacherConfig


class UAMT(MeanTeacher):
    """Mean Teacher whose consistency leaves out the pixels that its teacher is unsure of."""

    config: UAMT.Config

    class Config(TeacherConfig):
        """Mean Teacher with a bound on the teacher's entropy."""

        name: Literal["ua_mt"]
        passes: int = Field(default=8, ge=1)
        """Noisy passes (with the network's dropout) whose mean's entropy is the teacher's uncertainty."""

        @model_validator(mode="after")
        def _passes_differ(self) -> UAMT.Config:
            if self.noise == 0 and self.passes > 1:
                raise ValueError("noise: passes without noise are all the same; give some, or one pass")
            return self

    source = "uncertainty-aware Mean Teacher, Yu et al., MICCAI 2019; the student sees strong views"
    examples = {"": Example({"ramp": 0.0}, {"network": {"dropout": 0.5}})}

    @classmethod
    def bound_to_steps(cls, config: Config) -> str:
        return "the bound of method ua_mt"

    def consistency(self, student: Tensor, batch: StreamBatch, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        keep = self.entropy(batch, step) < entropy_cut(step, self.context.steps)
        distance = (student - self.teacher_prediction(batch, step, 0)).square().sum(1)
        kept = keep.to(distance.dtype)
        sums = all_reduce_sum(torch.stack([(distance * kept).sum(), kept.sum()]))
        return sums[0] / (2 * sums[1]).clamp_min(1), {"kept": kept.mean()}

    def entropy(self, batch: StreamBatch, step: int) -> Tensor:
        """Entropy `[B, H, W]` of the mean prediction of the noisy passes, in 0 to ln K."""
        passes = range(1, self.config.passes + 1)
        mean = torch.stack([self.teacher_prediction(batch, step, i) for i in passes]).mean(0)
        return -(mean * mean.clamp_min(1e-6).log()).sum(1)


def entropy_cut(step: int, steps: int) -> float:
    """(3/4 + 1/4 ramp) ln 2: two classes' largest entropy, which the paper's code keeps for more classes."""
    return (0.75 + 0.25 * gaussian_ramp(step, steps)) * math.log(2)
