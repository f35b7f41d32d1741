"""Validation while training: of masks at training size, and of classes; ranks share the images."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from framework.core.distributed import all_reduce_sum, gather_objects, rank, world_size
from framework.core.labels import IGNORE
from framework.core.memory_format import layout
from framework.corpus.bits import planes
from framework.corpus.targets import UNKNOWN
from framework.loading.loader import collate
from framework.methods.common.losses import hard_labels
from framework.methods.sliding_window import predict_whole
from framework.metrics.base import ImageMetric, Metric, Numbers, OverlapMetric, PooledMetric, Predictions
from framework.metrics.registry import metrics_of

if TYPE_CHECKING:
    from framework.training.trainer import Trainer

BATCH = 16
"""Images of a forward pass, at least."""


class Validated(NamedTuple):
    """What validation says of one metric."""

    values: list[float | None] | dict[str, float]
    """By structure, None where it is not defined; by target, with its name."""
    mean: float


Scores = dict[str, Validated]
"""By a metric's key."""


class MaskValidator:
    """Which images have masks, and to which case (volume or image) each belongs."""

    def __init__(self, trainer: Trainer) -> None:
        self.data, self.batch = trainer.data, max(trainer.run.train.batch, BATCH)
        value = self.data.corpus.value
        self.ids = [name for name in self.data.corpus.ids_in("val") if value(name, "mask_kind") == "mask"]
        names = [value(name, "volume") or name for name in self.ids]
        if self.data.config.patch:  # volumes of any depth: each on its own
            self.ids = names = list(dict.fromkeys(names))
            self.batch = 1
        cases = {name: number for number, name in enumerate(dict.fromkeys(names))}
        self.cases = torch.tensor([cases[name] for name in names])

    @torch.no_grad()
    def score(self, trainer: Trainer) -> Scores:
        """The scores of the first predictor."""
        device, patch = trainer.device, trainer.run.corpus.patch
        kind = PooledTally if trainer.method.multilabel else CaseTally
        tally = kind(len(self.data.corpus.info.classes), int(self.cases.max()) + 1, device)
        with as_finished(trainer):
            for part in shares(len(self.ids), self.batch):
                image, mask = collate([self.data.get(name) for name in self.ids[part]])
                with trainer.strategy.autocast():
                    predictions = predict_whole(trainer.method, on_device(trainer, image), patch)
                probability = next(iter(predictions.values()))
                tally.add(self.cases[part].to(device), probability, mask.to(device))
        return tally.scores()


def shares(count: int, batch: int) -> Iterator[slice]:
    """This rank's share of so many images, a batch at a time."""
    for start in range(rank() * batch, count, batch * world_size()):
        yield slice(start, start + batch)


def on_device(trainer: Trainer, image: Tensor) -> Tensor:
    """Images on the run's device, in the type of the weights."""
    return image.to(trainer.device, trainer.dtype, memory_format=layout(image.dim()))


@contextlib.contextmanager
def as_finished(trainer: Trainer) -> Iterator[None]:
    """In the block the method is as the finished model: with averaged weights where the run keeps them."""
    trainer.method.eval()
    with contextlib.nullcontext() if trainer.ema is None else trainer.ema.swapped_in():
        yield
    trainer.method.train()


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
        mine = {}
        with as_finished(trainer), trainer.strategy.autocast():
            for part in shares(len(self.ids), BATCH):
                image, _ = collate([self.data.get(name) for name in self.ids[part]])
                probability = trainer.method.classify(on_device(trainer, image))
                columns = [probability[target.name].tolist() for target in self.targets]
                mine |= dict(zip(self.ids[part], zip(*columns, strict=True), strict=True))
        gathered = {name: rows for part in gather_objects(mine) for name, rows in part.items()}
        known, scores = {}, dict[str, Validated]()
        for place, target in enumerate(self.targets):
            probability = np.array([gathered[name][place] for name in self.ids])
            known[target.name] = known_of(self.data.classes(self.ids, target), probability)
        for metric in metrics_of(ImageMetric):
            values = {name: validated(metric, predictions) for name, predictions in known.items()}
            scores[metric.key] = Validated(values, float(np.mean(list(values.values()))))
        return scores


def known_of(truth: Sequence[int], probability: Numbers) -> Predictions:
    """The images whose class `[N]` is known, each counted once."""
    classes = np.asarray(truth)
    known = classes != UNKNOWN
    return Predictions(classes[known], probability[known], np.ones((1, int(known.sum()))))


def validated(metric: ImageMetric, predictions: Predictions) -> float:
    """A metric's value, or chance where it is not defined, as when one class alone occurs."""
    [value] = metric.compute(predictions)
    return float(value) if np.isfinite(value) else metric.chance


class CaseTally:
    """Pixels of overlap, prediction and truth, by case and class, for metrics that these determine."""

    def __init__(self, classes: int, cases: int, device: torch.device) -> None:
        self.sums = torch.zeros(3, cases, classes, device=device)

    def add(self, cases: Tensor, probability: Tensor, mask: Tensor) -> None:
        """Images `[B, ...]` of cases `[B]`: probabilities `[B, K, ...]` and masks of class ids."""
        labels = hard_labels(probability)
        for k in range(self.sums.shape[2]):
            predicted, truth = (labels == k) & (mask != IGNORE), mask == k
            for row, pixels in enumerate((predicted & truth, predicted, truth)):
                self.sums[row, :, k].index_add_(0, cases, pixels.flatten(1).sum(1).float())

    def scores(self) -> Scores:
        """Of each foreground class the mean over the cases that have it or were given it, None without any,
        and the mean of these: a false alarm costs, and silence earns nothing (nnU-Net's convention)."""
        overlap, predicted, truth = all_reduce_sum(self.sums)[..., 1:]
        both, counted = (predicted > 0) & (truth > 0), predicted + truth > 0
        scores: Scores = {}
        for metric in metrics_of(OverlapMetric):
            values = torch.where(both, metric.from_sizes(overlap, predicted, truth), 0.0)
            means = (values.sum(0) / counted.sum(0)).tolist()
            scores[metric.key] = shown_and_mean(metric, means)
        return scores


def shown_and_mean(metric: Metric, values: Sequence[float]) -> Validated:
    """Values of classes, None for those that are not defined, and the mean of the others."""
    defined = [value for value in values if np.isfinite(value)]
    shown = [value if np.isfinite(value) else None for value in values]
    return Validated(shown, float(np.mean(defined)) if defined else metric.chance)


class PooledTally:
    """What images contribute to pooled metrics, by class."""

    def __init__(self, classes: int, cases: int, device: torch.device) -> None:
        self.sums = {
            metric: torch.zeros(classes - 1, *metric.shape, dtype=torch.float64, device=device)
            for metric in metrics_of(PooledMetric)
        }

    def add(self, cases: Tensor, probability: Tensor, mask: Tensor) -> None:
        """Images `[B, ...]`: probabilities `[B, K, ...]` and masks of bits."""
        lesions = probability.movedim(1, 0)[1:].float()
        truth, known = planes(mask, len(lesions)), mask != IGNORE
        for metric, sums in self.sums.items():
            sums += metric.update(lesions, truth, known)

    def scores(self) -> Scores:
        """The value of each class, None for one that no image shows, and the mean of the others."""
        return {
            metric.key: shown_and_mean(metric, metric.compute(all_reduce_sum(sums).cpu().numpy()).tolist())
            for metric, sums in self.sums.items()
        }
