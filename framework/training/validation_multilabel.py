"""Validation of lesions that may overlap: their AUPR at training size over the pixels of all images, shared out over the ranks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from framework.core.distributed import all_reduce_sum
from framework.core.labels import IGNORE
from framework.core.memory_format import layout
from framework.corpus.bits import planes
from framework.loading.loader import collate
from framework.metrics.average_precision import BINS, average_precision, histograms
from framework.training.validation import Validator, predict

if TYPE_CHECKING:
    from framework.training.trainer import Trainer


class LesionValidator(Validator):
    """Measures the images of `Validator`, with masks of bits."""

    @torch.no_grad()
    def score(self, trainer: Trainer) -> dict[str, Any]:
        """The AUPR of each lesion, None for one that no image shows, and the mean of the others; 0 when no image shows any."""
        lesions = len(self.data.corpus.info.classes) - 1
        counts = torch.zeros(lesions, 2, BINS, dtype=torch.int64, device=self.device)
        trainer.method.eval()
        for part in self.parts():
            counts += self._counts(trainer, part)
        trainer.method.train()
        areas = average_precision(all_reduce_sum(counts).cpu().numpy())
        occurring = areas[np.isfinite(areas)]
        found = [float(area) if np.isfinite(area) else None for area in areas]
        return {"aupr": found, "mean": float(occurring.mean()) if len(occurring) else 0.0}

    def _counts(self, trainer: Trainer, part: slice) -> Tensor:
        """The histograms of a batch, lesions first as in those of one image."""
        image, mask = collate([self.data.get(name) for name in self.ids[part]])
        image, mask = (
            image.to(self.device, self.type, memory_format=layout(image.dim())),
            mask.to(self.device),
        )
        probability = predict(trainer, image).movedim(1, 0)[1:].float()
        return histograms(probability, planes(mask, len(probability)), mask != IGNORE)
