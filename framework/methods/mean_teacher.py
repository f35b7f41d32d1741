"""Mean Teacher (Tarvainen & Valpola, NeurIPS 2017; medical settings from SSL4MIS, methods/README 6).

The student sees the strong view of an unlabelled image, the teacher the weak one with noise. In SSL4MIS both
see the weak view: `augment: {strong: 0, blur: 0}`.
"""

from collections.abc import Iterator
from typing import Literal

from pydantic import Field
from torch import Tensor

from framework.loading.loader import Batch, StreamBatch
from framework.methods.base import Example, Method, MethodContext, Read, Update
from framework.methods.common.losses import WeightRamp, planar, supervised_loss, weighted_update
from framework.methods.common.noise import noisy
from framework.methods.common.pair import STREAMS, WeakAndStrong
from framework.methods.common.teacher import Teacher


class TeacherConfig(WeightRamp):
    """The consistency of a student with the average of its own past."""

    weight: float = Field(default=0.1, ge=0)
    decay: float = Field(default=0.99, ge=0, lt=1)
    """Decay of the teacher's average."""
    noise: float = Field(default=0.1, ge=0)
    """Deviation of the noise on the teacher's input; images have deviation 1."""


class MeanTeacher(Method):
    """One network that trains, and its teacher."""

    class Config(TeacherConfig):
        name: Literal["mean_teacher"]

    learns_from = "masks + images"
    source = "Tarvainen & Valpola, NeurIPS 2017; the student sees strong views"
    streams = STREAMS
    revision = 1  # strong views
    examples = {"": Example({"ramp": 0.0}, {"network": {"dropout": 0.5}}, volumes=True)}

    def __init__(self, config: TeacherConfig, context: MethodContext) -> None:
        super().__init__()
        self.config, self.context = config, context
        self.networks["network"] = WeakAndStrong(context.network(0))
        self.teacher = Teacher(self.networks["network"], config.decay)

    def train_step(self, batch: Batch, step: int) -> Iterator[Update]:
        labelled, unlabelled = batch["labelled"], batch["unlabelled"]
        logits, strong = self.call("network", labelled.image, unlabelled.strong[0])
        supervised = supervised_loss(logits, labelled.mask)
        unsupervised, metrics = self.consistency(planar(strong).softmax(1), unlabelled, step)
        weight = self.config.weight_at(step, self.context.steps)
        yield weighted_update("network", supervised, unsupervised, weight, **metrics)

    def consistency(self, student: Tensor, batch: StreamBatch, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Mean squared distance of the student's probabilities `[B, K, H, W]` from the teacher's; metrics."""
        return (student - self.teacher_prediction(batch, step, 0)).square().mean(), {}

    def teacher_prediction(self, batch: StreamBatch, step: int, number: int) -> Tensor:
        """The teacher's probabilities `[B, K, H, W]`, with noise number 0, 1, … of this step on its input."""
        drawn_by = self.context.seed, step, number
        return self.teacher(noisy(batch.image, batch.ids, self.config.noise, *drawn_by))

    def after_step(self, step: int, read: Read) -> None:
        self.teacher.follow(self.networks["network"], step)

    def predict(self, image: Tensor) -> dict[str, Tensor]:
        """The student, as SSL4MIS tests it, and the teacher."""
        (logits,) = self.networks["network"](image)
        return {"network 1": planar(logits).softmax(1), "teacher": self.teacher(image)}
