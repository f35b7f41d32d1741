"""Stage 3 of Zhou et al., CVPR 2019: lesions and grades together (methods/README 1.5 to 1.7).

A segmenter learns from few masks, and from pseudo masks that the grader's attention gives for graded images;
the grader learns from the segmenter's masks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from framework.core.distributed import gather_objects
from framework.core.errors import ConfigError, nearest
from framework.core.labels import IGNORE
from framework.corpus.schema import NO_MASK
from framework.loading.loader import Batch, StreamBatch
from framework.methods.base import Example, MethodContext, PretrainedModel, Read, Update
from framework.methods.classifier.method import known_cross_entropy
from framework.methods.collaborative.discriminator import MaskPair
from framework.methods.collaborative.grader import TINY_GRADER, GradingConfig, graded, part_of, spread
from framework.methods.collaborative.lesions import LesionConfig, Lesions, lesion_loss, targets
from framework.methods.collaborative.networks import call_fixed
from framework.methods.collaborative.pseudo_masks import PseudoMaskConfig, flattened, pseudo_masks, unweighted
from framework.methods.common.losses import planar, weighted_update
from framework.methods.supervised import MASKED


class Collaborative(Lesions):
    """Three networks, an optimiser each."""

    class Config(LesionConfig, GradingConfig):
        """Zhou's third stage."""

        name: Literal["collaborative"]
        healthy: str
        """The grade of images without lesions: their masks are known to be empty."""
        pseudo: PseudoMaskConfig = PseudoMaskConfig()
        weight: float = Field(default=0.5, ge=0)
        """Weight of the pseudo masks, after the ramp."""
        ramp: float = Field(default=0.2, ge=0, le=1)
        """Share of the run over which that weight rises (linearly)."""
        joint: float = Field(default=0.0, ge=0)
        """Weight of the grading loss in the segmenter's, through its masks; the published value is 0."""
        grader_lr_scale: float = Field(default=0.5, gt=0)
        """The grader's learning rate, as a share of the run's."""

    learns_from = "masks of lesions + grades"
    source = "third stage of Zhou et al., CVPR 2019; algebra reconstructed"
    revision = 2  # pseudo masks keep what the segmenter finds; an attention of its own for each lesion
    examples = {
        "": Example(
            {"healthy": "none", "adversary": {"widths": [4, 8]}, "joint": 0.1, **TINY_GRADER},
            {"models": {"segmenter": "lesions", "grader": "grader"}},
        )
    }

    def __init__(self, config: Collaborative.Config, context: MethodContext) -> None:
        super().__init__(config, context)
        self.config = config
        self.networks["grader"] = config.network(context)
        self.targets = (config.target(context),)
        grades = self.targets[0].classes
        if config.healthy not in grades:
            fault = f"the grade has no class '{config.healthy}'{nearest(config.healthy, grades)}"
            raise ConfigError(f"method.healthy: {fault}")
        self.healthy = grades.index(config.healthy)
        self.streams = (MASKED, graded(self.targets[0], frozenset({"mask", NO_MASK})))

    @classmethod
    def required_models(cls, config: Any) -> tuple[str, ...]:
        return ("segmenter", "grader")

    def load_pretrained(self, role: str, model: PretrainedModel) -> None:
        # As text: two mappings of the same classes are equal in any order, grades are not.
        grade = self.config.grade.model_dump_json()
        if isinstance(model.method, GradingConfig) and model.method.grade.model_dump_json() != grade:
            fault = "has another 'grade' than this run's"
            raise ConfigError(f"models.{role}: {fault}; give both the same label and classes")
        segmenter = ["generator", "discriminator"] if self.adversary else ["generator"]
        for group in ["grader"] if role == "grader" else segmenter:
            self.networks[group].load_state_dict(part_of(model, role, group, self.context))

    def prepare(self, ids: Mapping[str, Sequence[str]], read: Read) -> None:
        super().prepare(ids, read)
        self._require_clear(read(MASKED.name))
        if self.config.weight and set(ids["graded"]) <= set(ids[MASKED.name]):
            fault = "every graded image has a mask, so pseudo masks would teach nothing"
            mend = "lower corpus.budget.share, add graded images, or set method.weight=0"
            raise ConfigError(f"method 'collaborative': {fault}; {mend}")

    def train_step(self, batch: Batch, step: int) -> Iterator[Update]:
        masked, unmasked = batch[MASKED.name], batch["graded"]
        logits = self.call("generator", masked.image, unmasked.image)
        target = targets(masked.mask, self.context.lesions)
        first = MaskPair(masked, planar(logits[0]).sigmoid(), target)
        second = MaskPair(unmasked, planar(logits[1]).sigmoid())
        if self.adversary is not None:
            pairs = [first, second] if self.adversary.config.weight_unmasked else [first]
            yield self.adversary.discriminator_update(pairs, step)
        grade = self.targets[0].of(unmasked.labels)
        graded_as, attention = self.call("grader", unmasked.image, second.predicted.detach())
        grading = known_cross_entropy(graded_as, grade)
        metrics = {"loss_grading": grading.detach(), **spread(attention)}
        yield Update("grader", grading, metrics, self.config.grader_lr_scale)
        pseudo = self._pseudo(second, attention, grade)
        supervised = lesion_loss(logits[0], target, self.weights, self.config.dice)
        # Unweighted: pseudo lesions that weigh as much as true ones grow from step to step.
        unsupervised = lesion_loss(logits[1], pseudo, torch.ones_like(self.weights), 0.0)
        length = self.config.ramp * self.context.steps
        weight = self.config.weight * (min(1.0, step / length) if length else 1.0)
        adversarial = first.predicted.new_zeros(())
        if self.adversary is not None:
            adversarial = self.adversary.adversarial_loss([first, second], step)
        shares = {"kept": (pseudo != IGNORE).float().mean(), "pseudo_lesion": (pseudo == 1).float().mean()}
        metrics = {"loss_adversarial": adversarial.detach(), **shares}
        update = weighted_update("generator", supervised, unsupervised, weight, **metrics)
        yield update._replace(loss=update.loss + adversarial + self._joint(second, grade))

    def _pseudo(self, pair: MaskPair, attention: Tensor, grade: Tensor) -> Tensor:
        """Pseudo masks `[B, L, H, W]` of graded images; one that has a mask keeps it."""
        predicted = unweighted(pair.predicted, self.weights)
        pseudo = pseudo_masks(attention, predicted, grade == self.healthy, self.config.pseudo)
        truth = targets(pair.images.mask, self.context.lesions)
        return torch.where(truth == IGNORE, pseudo, truth)

    def _require_clear(self, images: Iterable[StreamBatch]) -> None:
        """Raise `ConfigError` on all ranks where an image of the healthy grade has a mask with a lesion."""
        mine: list[str] = []
        for part in images:
            healthy = self.targets[0].of(part.labels) == self.healthy
            bad = healthy & ((part.mask != IGNORE) & (part.mask > 0)).flatten(1).any(1)
            mine += [name for name, contradicts in zip(part.ids, bad.tolist(), strict=True) if contradicts]
        if names := sorted(name for part in gather_objects(mine) for name in part):
            fault = f"image '{names[0]}' is graded '{self.config.healthy}' and its mask has a lesion"
            raise ConfigError(f"method.healthy: {fault}; name the class of images without any")

    def _joint(self, pair: MaskPair, grade: Tensor) -> Tensor:
        """The grading loss of the predicted masks, by the grader with fixed weights."""
        if not self.config.joint:
            return pair.predicted.new_zeros(())
        logits, _ = call_fixed(self.networks["grader"], pair.images.image, pair.predicted)
        return self.config.joint * known_cross_entropy(logits, grade)

    def classify(self, image: Tensor) -> dict[str, Tensor]:
        logits, _ = self.networks["grader"](image, self.masks(image))
        return {self.targets[0].name: logits.float().softmax(1)}

    @torch.no_grad()
    def explain(self, image: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """The attention to each lesion, and the pseudo masks; images of unknown grade may have lesions."""
        masks = self.masks(image)
        _, attention = self.networks["grader"](image, masks)
        healthy = self.targets[0].of(labels) == self.healthy
        planes = pseudo_masks(attention, unweighted(masks, self.weights), healthy, self.config.pseudo)
        maps = {f"attention: {name}": attention[:, i] for i, name in enumerate(self.context.names[1:])}
        return maps | {"pseudo mask": flattened(planes)}
