"""Validation of how whole images are classified, the images shared out over the ranks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from framework.core.distributed import gather_objects, rank, world_size
from framework.corpus.targets import UNKNOWN
from framework.loading.loader import collate
from framework.metrics.base import ImageMetric, Numbers, Predictions
from framework.metrics.registry import metrics_of
from framework.training.validation import as_finished, on_device
from framework.training.validation_tallies import Scores, Validated

if TYPE_CHECKING:
    from framework.training.trainer import Trainer

BATCH = 16
"""Images of a forward pass."""


class ClassificationValidator:
    """Holds the validation images for which some target's class is known; a corpus may have none."""

    def __init__(self, trainer: Trainer) -> None:
        self.data, self.targets = trainer.data, trainer.method.targets
        names = self.data.corpus.ids_in("val")
        classes = [self.data.classes(names, target) for target in self.targets]
        self.ids = [name for name, *known in zip(names, *classes, strict=True) if set(known) != {UNKNOWN}]

    @torch.no_grad()
    def score(self, trainer: Trainer) -> Scores:
        """Every metric of each target, and its mean over the targets."""
        trainer.method.eval()
        mine = {}
        for start in range(rank() * BATCH, len(self.ids), BATCH * world_size()):
            mine |= self._classified(trainer, self.ids[start : start + BATCH])
        trainer.method.train()
        gathered = {name: rows for part in gather_objects(mine) for name, rows in part.items()}
        known, scores = {}, dict[str, Validated]()
        for place, target in enumerate(self.targets):
            probability = np.array([gathered[name][place] for name in self.ids])
            known[target.name] = known_of(self.data.classes(self.ids, target), probability)
        for metric in metrics_of(ImageMetric):
            values = {name: validated(metric, predictions) for name, predictions in known.items()}
            scores[metric.key] = Validated(values, float(np.mean(list(values.values()))))
        return scores

    def _classified(self, trainer: Trainer, names: list[str]) -> dict[str, list[list[float]]]:
        """Probabilities by image, target and class."""
        image = on_device(trainer, collate([self.data.get(name) for name in names])[0])
        with as_finished(trainer):
            probability = trainer.method.classify(image)
        columns = [probability[target.name].tolist() for target in self.targets]
        return {name: list(rows) for name, *rows in zip(names, *columns, strict=True)}


def known_of(truth: Sequence[int], probability: Numbers) -> Predictions:
    """The images whose class `[N]` is known, each counted once."""
    classes = np.asarray(truth)
    known = classes != UNKNOWN
    return Predictions(classes[known], probability[known], np.ones((1, int(known.sum()))))


def validated(metric: ImageMetric, predictions: Predictions) -> float:
    """A metric's value, or chance where it is not defined, as when one class alone occurs."""
    [value] = metric.compute(predictions)
    return float(value) if np.isfinite(value) else metric.chance
