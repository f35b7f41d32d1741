"""Validation while training: metrics of masks at training size, the images shared out over the ranks."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from framework.core.distributed import rank, world_size
from framework.core.memory_format import layout
from framework.loading.loader import collate
from framework.methods.sliding_window import predict_whole
from framework.training.precision import parameter_type
from framework.training.validation_tallies import CaseTally, PooledTally, Scores

if TYPE_CHECKING:
    from framework.training.trainer import Trainer


class MaskValidator:
    """Which images have masks, and to which case (volume or image) each belongs."""

    def __init__(self, trainer: Trainer) -> None:
        self.data = trainer.data
        index = self.data.corpus.index_columns
        rows = [
            i for i, split in enumerate(index["split"]) if split == "val" and index["mask_kind"][i] == "mask"
        ]
        names = [index["volume"][i] or index["id"][i] for i in rows]
        if self.data.config.patch:  # volumes of any depth: each on its own
            names = list(dict.fromkeys(names))
            self.ids, self.batch = names, 1
        else:
            self.ids, self.batch = [index["id"][i] for i in rows], max(trainer.run.train.batch, 16)
        cases = {name: number for number, name in enumerate(dict.fromkeys(names))}
        self.cases = torch.tensor([cases[name] for name in names])

    @torch.no_grad()
    def score(self, trainer: Trainer) -> Scores:
        """The scores of the first predictor."""
        kind = PooledTally if trainer.method.multilabel else CaseTally
        tally = kind(len(self.data.corpus.info.classes), int(self.cases.max()) + 1, trainer.device)
        trainer.method.eval()
        for part in self.parts():
            image, mask = collate([self.data.get(name) for name in self.ids[part]])
            probability = predict(trainer, on_device(trainer, image))
            tally.add(self.cases[part].to(trainer.device), probability, mask.to(trainer.device))
        trainer.method.train()
        return tally.scores()

    def parts(self) -> Iterator[slice]:
        """This rank's share of the ids, a batch at a time."""
        for start in range(rank() * self.batch, len(self.ids), self.batch * world_size()):
            yield slice(start, start + self.batch)


def on_device(trainer: Trainer, image: Tensor) -> Tensor:
    """Images on the run's device, in the type of the weights."""
    type = parameter_type(trainer.run.train.precision)
    return image.to(trainer.device, type, memory_format=layout(image.dim()))


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
