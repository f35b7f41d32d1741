"""Area under the ROC curve of whole images."""

import numpy as np
from numpy.typing import NDArray

from framework.metrics.base import ImageMetric, Numbers, Predictions


class AUC(ImageMetric):
    """Each class against all others, averaged over the classes that occur; NaN when one class alone does."""

    key, name, compared, chance = "auc", "AUC", True, 0.5
    about = "AUC: of each class against all others, averaged."

    def compute(self, predictions: Predictions) -> Numbers:
        truth, probability, weight = predictions.truth, predictions.probability, predictions.weight
        present = [k for k in range(probability.shape[1]) if 0 < (truth == k).sum() < len(truth)]
        areas = [area(truth == k, probability[:, k], weight) for k in present]
        return np.mean(areas, axis=0) if areas else np.full(len(weight), np.nan)


def area(positive: NDArray[np.bool_], score: Numbers, weight: Numbers) -> Numbers:
    """How likely a positive image scores above a negative one, ties counting half, `[R]`."""
    order = np.argsort(score, kind="stable")
    starts = np.flatnonzero(np.diff(score[order], prepend=-np.inf))
    kinds = (weight[:, order] * kind[order] for kind in (positive, ~positive))
    above, below = (np.add.reduceat(kind, starts, axis=1) for kind in kinds)
    beaten = below.cumsum(1) - below / 2
    with np.errstate(invalid="ignore"):
        return (above * beaten).sum(1) / (above.sum(1) * below.sum(1))
