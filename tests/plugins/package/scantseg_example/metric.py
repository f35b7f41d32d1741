"""Sensitivity: the share of a structure that is found."""

from __future__ import annotations

from framework.metrics.base import Number, OverlapMetric


class Sensitivity(OverlapMetric):
    """Overlap over the true size."""

    key = "sensitivity"
    name = "Sensitivity"
    about = "The share of the true mask that is found."
    compared = True

    def from_sizes(self, overlap: Number, predicted: Number, truth: Number) -> Number:
        return overlap / truth
