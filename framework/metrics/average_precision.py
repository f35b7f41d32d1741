"""Area under the precision-recall curve of lesions that may overlap, over pooled pixels, from histograms of probability.

Histograms of images, ranks or resamples add up to those of all their pixels, so that nothing is ever a mean of parts.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from framework.core.labels import IGNORE
from framework.corpus.reader import Sample

BINS = 1000
"""Of equal width, of probabilities 0..1; pixels of one bin are ranked as equal."""


def histograms(probability: Tensor, truth: Tensor, known: Tensor) -> Tensor:
    """How many known pixels without and with each lesion have which probability, `[K-1, 2, BINS]` int64.

    `probability` `[K-1, ...]` is in 0..1, `truth` `[K-1, ...]` and `known` `[...]` are bool.
    """
    return torch.stack(
        [_histogram(p[known], true[known]) for p, true in zip(probability, truth, strict=True)]
    )


def _histogram(probability: Tensor, truth: Tensor) -> Tensor:
    place = (probability * BINS).long().clamp_(0, BINS - 1)
    return torch.bincount(place + BINS * truth, minlength=2 * BINS).view(2, BINS)


def average_precision(counts: NDArray[np.number]) -> NDArray[np.float64]:
    """The area `[...]` from histograms `[..., 2, BINS]`: precision summed over the steps of recall; NaN without a pixel."""
    above = counts[..., ::-1].astype(np.float64).cumsum(-1)
    precision = above[..., 1, :] / np.maximum(above.sum(-2), 1)
    found = (counts[..., 1, ::-1] * precision).sum(-1)
    with np.errstate(invalid="ignore"):
        return found / above[..., 1, -1]


def sample_histograms(probability: Tensor, sample: Sample) -> Tensor:
    """The histograms of one image with a mask, from probabilities `[K, H, W]` at its own size."""
    assert sample.mask is not None
    truth = torch.from_numpy(sample.planes(len(probability)))
    return histograms(probability[1:], truth, torch.from_numpy(sample.mask != IGNORE))
