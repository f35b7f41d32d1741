"""Means with bootstrap confidence intervals that resample patients, not images.

Images of one patient resemble each other; resampling them one by one would pretend to more evidence than there is. The
cluster bootstrap draws whole patients with replacement (Field and Welsh, J. R. Stat. Soc. B 69, 2007).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

RESAMPLES = 2000
METHOD = f"95 % percentile interval, cluster bootstrap over groups (patients), {RESAMPLES:,} resamples, seed 0"


@dataclass(frozen=True)
class Interval:
    """A mean and the ends of its 95 % interval."""

    mean: float
    low: float
    high: float


def mean_intervals(values: ArrayLike, groups: Sequence[str], seed: int = 0) -> list[Interval]:
    """One interval for each column of `values` `[cases, columns]`; `groups[i]` is the patient of case i.

    All columns share the same resamples. With one group every resample is the sample, and the interval is the mean.
    """
    columns = np.asarray(values, dtype=np.float64)
    members = np.unique(np.asarray(groups), return_inverse=True)[1]
    count = np.bincount(members).astype(np.float64)
    sums = np.zeros((len(count), columns.shape[1]))
    np.add.at(sums, members, columns)
    drawn = np.random.default_rng(seed).multinomial(len(count), np.full(len(count), 1 / len(count)), size=RESAMPLES)
    resampled = (drawn @ sums) / (drawn @ count)[:, None]
    low, high = np.percentile(resampled, [2.5, 97.5], axis=0)
    mean = sums.sum(axis=0) / count.sum()
    return [Interval(*map(float, ends)) for ends in zip(mean, low, high, strict=True)]
