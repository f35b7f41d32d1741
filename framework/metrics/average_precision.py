"""Area under the precision-recall curve of structures that may overlap, from histograms of probability."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from framework.metrics.base import Numbers, PooledMetric

if TYPE_CHECKING:
    from torch import Tensor

BINS = 1000  # of equal width, of probabilities 0..1; pixels of one bin are ranked as equal


class AUPR(PooledMetric):
    """Over the pooled pixels of all images: histograms add up, so that nothing is a mean of parts."""

    key, name, compared = "aupr", "AUPR", True
    about = (
        "AUPR: area under the precision-recall curve over the pixels of all images, from the first "
        "predictor's probabilities; the mean is over lesions that occur."
    )
    shape = (2, BINS)
    """How many known pixels without and with the structure have which probability."""

    def update(self, probability: Tensor, truth: Tensor, known: Tensor) -> Tensor:
        import torch

        place = (probability * BINS).long().clamp_(0, BINS - 1) + BINS * truth
        counts = [torch.bincount(part[known], minlength=2 * BINS) for part in place]
        return torch.stack(counts).view(-1, *self.shape).int()

    def compute(self, sums: Numbers) -> Numbers:
        """Precision summed over the steps of recall; NaN without a pixel of the structure."""
        above = sums[..., ::-1].astype(np.float64).cumsum(-1)
        precision = above[..., 1, :] / np.maximum(above.sum(-2), 1)
        area = (sums[..., 1, ::-1] * precision).sum(-1)
        with np.errstate(invalid="ignore"):
            return area / above[..., 1, -1]
