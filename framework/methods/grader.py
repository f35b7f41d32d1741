"""A grader of whole images that attends to each lesion (Zhou et al. 2019; methods.md 1.4), with a finished segmenter's masks.

The second stage of the collaboration. Images are drawn from the grades in turn: archives hold mostly healthy ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from framework.corpus.loader import Batch, Stream
from framework.corpus.targets import Target, TargetConfig, resolve
from framework.errors import ConfigError
from framework.methods.classifier import ANY, known_entropy
from framework.methods.contract import Finished, Method, Setting, Update
from framework.methods.losses import planar
from framework.methods.supervised import Single
from framework.networks.build import build_network
from framework.networks.encoder import Encoder, EncoderConfig
from framework.networks.lesions import Grader as Network
from framework.networks.seeded import seeded


class GradingConfig(BaseModel):
    """Which grade, and the network that tells it."""

    model_config = ConfigDict(extra="forbid")
    grade: TargetConfig
    """The image-level label."""
    encoder: EncoderConfig = EncoderConfig(name="encoder")
    """The grader's own; the paper's class is resnet50, pretrained."""
    width: int = Field(default=64, ge=1)
    """Channels of each lesion's attention."""


class GraderConfig(GradingConfig):
    """No further settings."""

    name: Literal["grader"]


class Grader(Method):
    """A grader beside a frozen segmenter."""

    segments = False
    overlapping = True
    revision = 1  # an attention of its own for each lesion

    def __init__(self, config: GraderConfig, setting: Setting) -> None:
        super().__init__()
        self.setting = setting
        self.networks["grader"] = network_of(config, setting)
        self.frozen["generator"] = Single(setting.network(0)).requires_grad_(False).eval()
        self.targets = (grade_of(config, setting),)
        self.streams = (graded(self.targets[0], ANY),)

    @classmethod
    def roles(cls, config: BaseModel) -> tuple[str, ...]:
        return ("segmenter",)

    def adopt(self, role: str, model: Finished) -> None:
        require_same_lesions(model, role, self.setting)
        self.frozen["generator"].load_state_dict(part_of(model, role, "generator"))

    def train_step(self, batch: Batch, step: int) -> Iterator[Update]:
        images = batch["graded"]
        logits, attention = self.call("grader", images.image, self._masks(images.image))
        loss = known_entropy(logits, self.targets[0].of(images.labels))
        yield Update("grader", loss, {"loss_supervised": loss.detach(), **spread(attention)})

    def classify(self, image: Tensor) -> dict[str, Tensor]:
        logits, _ = self.networks["grader"](image, self._masks(image))
        return {self.targets[0].name: logits.float().softmax(1)}

    @torch.no_grad()
    def _masks(self, image: Tensor) -> Tensor:
        (logits,) = self.frozen["generator"](image)
        return planar(logits).sigmoid()


def network_of(config: GradingConfig, setting: Setting) -> nn.Module:
    """The grader that a configuration describes, freshly initialised."""
    encoder = build_network(config.encoder, setting.channels, setting.classes, setting.seed, 1)
    assert isinstance(encoder, Encoder)
    with seeded("grader", setting.seed):
        return Network(encoder, setting.lesions, len(grade_of(config, setting).classes), config.width)


def grade_of(config: GradingConfig, setting: Setting) -> Target:
    """The question that a grader answers."""
    return resolve("grade", config.grade, setting.labels, "method.grade")


def graded(grade: Target, accepts: frozenset[str]) -> Stream:
    """Images whose grade is known, with masks of accepted kinds or none."""
    return Stream("graded", accepts, target=grade, hint=f"no training image has a known {grade.name} in labels.csv")


def spread(attention: Tensor) -> dict[str, Tensor]:
    """Mean of the attention, and its deviation within an image: where that is near 0 it has collapsed (methods.md 1.11)."""
    each = attention.detach().flatten(2)
    return {"attention": each.mean(), "attention_deviation": each.std(2).mean()}


def require_same_lesions(model: Finished, role: str, setting: Setting) -> None:
    """Raise `ConfigError` where a model's masks are of other lesions, or of the same in another order."""
    if list(model.classes) != list(setting.names):
        mine, other = ", ".join(setting.names[1:]), ", ".join(model.classes[1:])
        raise ConfigError(f"models.{role}: finds {other}, this corpus has {mine}; give one of the same lesions in that order")


def part_of(model: Finished, role: str, group: str) -> dict[str, Tensor]:
    """The weights of one of a finished model's networks; raises `ConfigError` for a model that has no such network."""
    within = f"networks.{group}."
    found = {name.removeprefix(within): value for name, value in model.state.items() if name.startswith(within)}
    if not found:
        raise ConfigError(f"models.{role}: holds no {group}; give the folder of a model that trains one")
    return found
