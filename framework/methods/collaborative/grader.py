"""Stage 2 of Zhou et al. 2019: a grader that attends to each lesion of a segmenter (methods/README 1.4)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from framework.core.errors import ConfigError
from framework.core.settings import Settings
from framework.corpus.targets import Target, TargetConfig, resolve
from framework.loading.loader import Batch, Stream
from framework.methods.base import Example, Method, MethodContext, Needs, PretrainedModel, Update
from framework.methods.classifier.method import ANY, known_cross_entropy
from framework.methods.collaborative.networks import GraderNetwork
from framework.methods.common.losses import planar
from framework.methods.supervised import Single
from framework.networks.base import seeded
from framework.networks.encoder import Encoder, EncoderConfig
from framework.networks.registry import build_network


class GradingConfig(Settings):
    """Which grade, and the network that predicts it."""

    grade: TargetConfig
    """The image-level label."""
    encoder: EncoderConfig = EncoderConfig(name="encoder")
    """The grader's own; the paper has a pretrained resnet50."""
    width: int = Field(default=64, ge=1)
    """Channels of each lesion's attention."""

    def target(self, context: MethodContext) -> Target:
        """The grade as the corpus has it."""
        return resolve("grade", self.grade, context.labels, "method.grade")

    def network(self, context: MethodContext) -> GraderNetwork:
        """The grader, freshly initialised."""
        encoder = build_network(self.encoder, context.channels, context.classes, context.seed, 1)
        assert isinstance(encoder, Encoder)
        with seeded("grader", context.seed):
            return GraderNetwork(encoder, context.lesions, len(self.target(context).classes), self.width)


TINY_GRADER = {"grade": {"label": "grade"}, "encoder": {"name": "encoder", "widths": [4, 4, 8, 8]}}


class Grader(Method):
    """A grader beside a frozen segmenter."""

    class Config(GradingConfig):
        name: Literal["grader"]

    learns_from = "image-level grades + a model of lesions"
    source = "second stage of Zhou et al., CVPR 2019; algebra reconstructed"
    segments = False
    multilabel = True
    needs = Needs(volumes=False)
    revision = 1  # an attention of its own for each lesion
    examples = {"": Example(TINY_GRADER, {"models": {"segmenter": "lesions"}})}

    def __init__(self, config: Grader.Config, context: MethodContext) -> None:
        super().__init__()
        self.context = context
        self.networks["grader"] = config.network(context)
        self.frozen["generator"] = Single(context.network(0)).requires_grad_(False).eval()
        self.targets = (config.target(context),)
        self.streams = (graded(self.targets[0], ANY),)

    @classmethod
    def required_models(cls, config: Any) -> tuple[str, ...]:
        return ("segmenter",)

    def load_pretrained(self, role: str, model: PretrainedModel) -> None:
        self.frozen["generator"].load_state_dict(part_of(model, role, "generator", self.context))

    def train_step(self, batch: Batch, step: int) -> Iterator[Update]:
        images = batch["graded"]
        logits, attention = self.call("grader", images.image, self._masks(images.image))
        loss = known_cross_entropy(logits, self.targets[0].of(images.labels))
        yield Update("grader", loss, {"loss_supervised": loss.detach(), **spread(attention)})

    def classify(self, image: Tensor) -> dict[str, Tensor]:
        logits, _ = self.networks["grader"](image, self._masks(image))
        return {self.targets[0].name: logits.float().softmax(1)}

    @torch.no_grad()
    def _masks(self, image: Tensor) -> Tensor:
        (logits,) = self.frozen["generator"](image)
        return planar(logits).sigmoid()


def graded(grade: Target, accepts: frozenset[str]) -> Stream:
    """Images whose grade is known, with masks of accepted kinds or none."""
    hint = f"no training image has a known {grade.name} in labels.csv"
    return Stream("graded", accepts, target=grade, hint=hint)


def spread(attention: Tensor) -> dict[str, Tensor]:
    """The attention's mean, and its deviation within an image, near 0 if collapsed (methods/README 1.11)."""
    each = attention.detach().flatten(2)
    return {"attention": each.mean(), "attention_deviation": each.std(2).mean()}


def part_of(model: PretrainedModel, role: str, group: str, context: MethodContext) -> dict[str, Tensor]:
    """The weights of one of a model's networks; raises `ConfigError` where it has none, or other lesions."""
    if list(model.classes) != list(context.names):
        mine, other = ", ".join(context.names[1:]), ", ".join(model.classes[1:])
        fault = f"finds {other}, this corpus has {mine}"
        raise ConfigError(f"models.{role}: {fault}; give one of the same lesions in that order")
    weights = model.weights(f"networks.{group}")
    if not weights:
        raise ConfigError(f"models.{role}: holds no {group}; give the folder of a model that trains one")
    return weights
