"""What validation adds up over images and ranks: sizes of masks, or contributions to pooled metrics."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from framework.core.distributed import all_reduce_sum
from framework.core.labels import IGNORE
from framework.corpus.bits import planes
from framework.methods.common.losses import hard_labels
from framework.metrics.base import OverlapMetric, PooledMetric
from framework.metrics.registry import metrics_of


class Validated(NamedTuple):
    """What validation says of one metric."""

    values: list[float | None] | dict[str, float]
    """By structure, None where it is not defined; by target, with its name."""
    mean: float


Scores = dict[str, Validated]
"""By a metric's key."""


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
        """Means over cases of each foreground class, and their mean; empty masks as in the per-case table."""
        overlap, predicted, truth = all_reduce_sum(self.sums)[..., 1:]
        both, none = (predicted > 0) & (truth > 0), predicted + truth == 0
        scores: Scores = {}
        for metric in metrics_of(OverlapMetric):
            missed = torch.where(none, metric.absent, 0.0)
            values = torch.where(both, metric.from_sizes(overlap, predicted, truth), missed).mean(0)
            scores[metric.key] = Validated(values.tolist(), values.mean().item())
        return scores


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
        scores: Scores = {}
        for metric, sums in self.sums.items():
            values = metric.compute(all_reduce_sum(sums).cpu().numpy())
            defined = values[np.isfinite(values)]
            mean = float(defined.mean()) if len(defined) else metric.chance
            shown = [float(value) if np.isfinite(value) else None for value in values]
            scores[metric.key] = Validated(shown, mean)
        return scores
