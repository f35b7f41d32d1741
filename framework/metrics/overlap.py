"""Dice and IoU: how much two masks overlap, 0..1."""

from framework.metrics.base import Number, OverlapMetric


class Dice(OverlapMetric):
    """Twice the overlap over the sum of both sizes."""

    key, name, compared = "dice", "Dice", True

    def from_sizes(self, overlap: Number, predicted: Number, truth: Number) -> Number:
        return 2 * overlap / (predicted + truth)


class IoU(OverlapMetric):
    """The overlap over the union (Jaccard)."""

    key, name = "iou", "IoU"

    def from_sizes(self, overlap: Number, predicted: Number, truth: Number) -> Number:
        return overlap / (predicted + truth - overlap)
