"""The classes that images were given, under weights, and what several metrics need of them, computed once."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Predictions:
    """N images and C classes; each of the R rows of weights says how often every image counts."""

    truth: NDArray[np.int64]
    """`[N]`, all of them known."""
    probability: Numbers
    """`[N, C]`."""
    weight: Numbers
    """`[R, N]`."""

    @cached_property
    def confusion(self) -> Numbers:
        """Weighted counts `[R, C, C]`: rows are the truth, columns the likeliest class."""
        count = self.probability.shape[1]
        cell = np.eye(count * count)[self.truth * count + self.probability.argmax(1)]
        return (self.weight @ cell).reshape(-1, count, count)
