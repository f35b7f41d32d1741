"""Validation of answers about whole images: their AUC, the images shared out over the ranks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from framework.core.distributed import gather_objects, rank, world_size
from framework.core.memory_format import layout
from framework.corpus.targets import UNKNOWN
from framework.loading.loader import collate
from framework.loading.training_set import TrainingSet
from framework.metrics.classification import macro_auc
from framework.training.precision import parameter_type
from framework.training.validation import as_finished

if TYPE_CHECKING:
    from framework.training.trainer import Trainer

BATCH = 16
"""Images of a forward pass."""


class AnswerValidator:
    """Holds the validation images for which some target's class is known; a corpus may have none."""

    def __init__(self, trainer: Trainer) -> None:
        self.data: TrainingSet = trainer.data
        self.targets = trainer.method.targets
        names = trainer.data.corpus.ids_in("val")
        found = [trainer.data.classes(names, target) for target in self.targets]
        self.ids = [name for name, *classes in zip(names, *found, strict=True) if set(classes) != {UNKNOWN}]

    @torch.no_grad()
    def score(self, trainer: Trainer) -> dict[str, Any]:
        """The AUC of each target, and their mean."""
        trainer.method.eval()
        mine = {}
        for start in range(rank() * BATCH, len(self.ids), BATCH * world_size()):
            mine |= self._answers(trainer, self.ids[start : start + BATCH])
        trainer.method.train()
        found = {name: answers for part in gather_objects(list(mine.items())) for name, answers in part}
        areas = {}
        for place, target in enumerate(self.targets):
            probability = np.array([found[name][place] for name in self.ids])
            areas[target.name] = macro_auc(self.data.classes(self.ids, target), probability)
        return {"auc": areas, "mean": float(np.mean(list(areas.values())))}

    def _answers(self, trainer: Trainer, names: list[str]) -> dict[str, list[list[float]]]:
        """Probabilities by image, target and class."""
        image = collate([self.data.get(name) for name in names])[0]
        image = image.to(
            trainer.device, parameter_type(trainer.run.train.precision), memory_format=layout(image.dim())
        )
        with as_finished(trainer):
            found = trainer.method.classify(image)
        columns = [found[target.name].tolist() for target in self.targets]
        return {name: list(held) for name, held in zip(names, zip(*columns, strict=True), strict=True)}
