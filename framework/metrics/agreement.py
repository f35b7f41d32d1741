"""How well the classes given to whole images agree with the true ones, from the confusion matrix."""

import numpy as np

from framework.metrics.base import ImageMetric, Numbers, Predictions


class Accuracy(ImageMetric):
    """The share of images that are recognised."""

    key, name = "accuracy", "accuracy"

    def compute(self, predictions: Predictions) -> Numbers:
        matrix = predictions.confusion
        return np.trace(matrix, axis1=1, axis2=2) / matrix.sum((1, 2))


class BalancedAccuracy(ImageMetric):
    """The share of a class's images that are recognised, averaged over the classes that occur."""

    key, name = "balanced_accuracy", "balanced accuracy"
    about = "Balanced accuracy: the mean over classes of the share that was recognised."

    def compute(self, predictions: Predictions) -> Numbers:
        matrix = predictions.confusion
        with np.errstate(invalid="ignore"):
            recall = np.diagonal(matrix, axis1=1, axis2=2) / matrix.sum(2)
        return np.nanmean(recall, axis=1)


class Kappa(ImageMetric):
    """Cohen's kappa with quadratic weights: 1 is agreement, 0 chance, NaN where one class is all."""

    key, name, compared = "kappa", "kappa", True
    about = "Kappa: Cohen's, with quadratic weights."

    def compute(self, predictions: Predictions) -> Numbers:
        matrix = predictions.confusion
        place = np.arange(matrix.shape[1])
        distance = (place[:, None] - place) ** 2
        expected = matrix.sum(2)[:, :, None] * matrix.sum(1)[:, None] / matrix.sum((1, 2))[:, None, None]
        with np.errstate(invalid="ignore", divide="ignore"):
            return 1 - (distance * matrix).sum((1, 2)) / (distance * expected).sum((1, 2))
