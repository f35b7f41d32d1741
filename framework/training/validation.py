"""Validation while training: Dice per case at training size, the cases shared out over the ranks."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from framework.core.distributed import all_reduce_sum, rank, world_size
from framework.core.labels import IGNORE
from framework.core.memory_format import layout
from framework.loading.loader import collate
from framework.loading.training_set import TrainingSet
from framework.methods.common.losses import hard_labels
from framework.methods.sliding_window import predict_whole

if TYPE_CHECKING:
    from framework.training.trainer import Trainer


class Validator:
    """Holds which images there are and to which case (volume or image) each belongs."""

    def __init__(self, data: TrainingSet, batch: int, device: torch.device, type: torch.dtype) -> None:
        self.data, self.device, self.type = data, device, type
        light = data.corpus.index_columns
        rows = [
            i for i, split in enumerate(light["split"]) if split == "val" and light["mask_kind"][i] == "mask"
        ]
        names = [light["volume"][i] or light["id"][i] for i in rows]
        if data.config.patch:  # volumes of any depth: each on its own
            names = list(dict.fromkeys(names))
            self.ids, self.batch = names, 1
        else:
            self.ids, self.batch = [light["id"][i] for i in rows], max(batch, 16)
        cases = {name: number for number, name in enumerate(dict.fromkeys(names))}
        self.cases = torch.tensor([cases[name] for name in names])
        self.count = len(cases)

    @torch.no_grad()
    def score(self, trainer: Trainer) -> dict[str, Any]:
        """Mean Dice over cases of each foreground class, and their mean; a structure absent in both counts as 1."""
        classes = len(self.data.corpus.info.classes)
        sums = torch.zeros(3, self.count, classes, device=self.device)
        trainer.method.eval()
        for part in self.parts():
            self._add(trainer, part, sums)
        trainer.method.train()
        overlap, predicted, truth = all_reduce_sum(sums)[..., 1:]
        size = predicted + truth
        dice = torch.where(size > 0, 2 * overlap / size.clamp_min(1), torch.ones_like(size)).mean(0)
        return {"dice": dice.tolist(), "mean": dice.mean().item()}

    def parts(self) -> Iterator[slice]:
        """This rank's share of the ids, a batch at a time."""
        for start in range(rank() * self.batch, len(self.ids), self.batch * world_size()):
            yield slice(start, start + self.batch)

    def _add(self, trainer: Trainer, part: slice, sums: Tensor) -> None:
        samples = [self.data.get(name) for name in self.ids[part]]
        image, mask = collate(samples)
        image, mask = (
            image.to(self.device, self.type, memory_format=layout(image.dim())),
            mask.to(self.device),
        )
        probabilities = predict(trainer, image)
        labels = hard_labels(probabilities)
        cases = self.cases[part].to(self.device)
        for k in range(sums.shape[2]):
            hit, true = (labels == k) & (mask != IGNORE), mask == k
            for row, found in enumerate((hit & true, hit, true)):
                sums[row, :, k].index_add_(0, cases, found.flatten(1).sum(1).float())


def predict(trainer: Trainer, image: Tensor) -> Tensor:
    """The first predictor's probabilities `[B, K, H, W]` (of a volume `[1, K, D, H, W]`)."""
    with as_finished(trainer):
        return next(iter(predict_whole(trainer.method, image, trainer.run.corpus.patch).values()))


@contextlib.contextmanager
def as_finished(trainer: Trainer) -> Iterator[None]:
    """Predict in the block as the finished model would: with averaged weights where the run keeps them."""
    averaged = contextlib.nullcontext() if trainer.ema is None else trainer.ema.swapped_in()
    with trainer.strategy.autocast(), averaged:
        yield
