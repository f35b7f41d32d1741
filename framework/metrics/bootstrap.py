"""Means with bootstrap confidence intervals that resample patients, whose images resemble each other.

The cluster bootstrap draws whole patients with replacement (Field and Welsh, J. R. Stat. Soc. B 69, 2007),
seeds on their own (Owen, The pigeonhole bootstrap, Ann. Appl. Stat. 1, 2007).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

RESAMPLES = 2000
DRAWN = f"{RESAMPLES:,} resamples, seed 0"
METHOD = f"95 % percentile interval, cluster bootstrap over groups (patients), {DRAWN}"
CROSSED = f"95 % percentile interval, bootstrap over groups (patients) and over seeds, {DRAWN}"


@dataclass(frozen=True)
class Interval:
    """A mean, or another statistic, and the ends of its 95 % interval."""

    mean: float
    low: float
    high: float


def mean_intervals(values: ArrayLike, groups: Sequence[str], seed: int = 0) -> list[Interval]:
    """One interval for each column of `values` `[cases, columns]`; `groups[i]` is the patient of case i.

    All columns share the same resamples; with one group the interval is the mean.
    """
    return crossed_intervals(np.asarray(values, dtype=np.float64)[None], groups, seed)


def crossed_intervals(values: ArrayLike, groups: Sequence[str], seed: int = 0) -> list[Interval]:
    """One interval for each column of `values` `[seeds, cases, columns]`, over patients and seeds alike.

    A few seeds show little of the spread between seeds, so the interval is then rather narrow.
    """
    columns = np.asarray(values, dtype=np.float64)
    members = np.unique(np.asarray(groups), return_inverse=True)[1]
    count = np.bincount(members).astype(np.float64)
    sums = np.zeros((len(columns), len(count), columns.shape[2]))
    for total, trained in zip(sums, columns, strict=True):
        np.add.at(total, members, trained)
    rng = np.random.default_rng(seed)
    drawn, weight = _draws(rng, len(count)), _draws(rng, len(columns)) / len(columns)
    resampled = sum(weight[:, [i]] * (drawn @ total) for i, total in enumerate(sums))
    low, high = np.percentile(resampled / (drawn @ count)[:, None], [2.5, 97.5], axis=0)
    mean = sums.mean(axis=0).sum(axis=0) / count.sum()
    return [Interval(*map(float, ends)) for ends in zip(mean, low, high, strict=True)]


def spread_interval(value: float, spread: NDArray[np.float64]) -> dict[str, float] | None:
    """A statistic and its interval, from its values in the resamples that define it; None for NaN."""
    if not np.isfinite(value):
        return None
    low, high = np.percentile(spread[np.isfinite(spread)], [2.5, 97.5])
    return {"mean": float(value), "low": float(low), "high": float(high)}


def resamples(groups: Sequence[str], seed: int = 0) -> NDArray[np.float64]:
    """How often each case is in each resample of the groups, `[RESAMPLES, cases]`."""
    members = np.unique(np.asarray(groups), return_inverse=True)[1]
    drawn = _draws(np.random.default_rng(seed), int(members.max()) + 1)
    return drawn[:, members].astype(np.float64)


def over_seeds(spread: NDArray[np.float64], seed: int = 0) -> NDArray[np.float64]:
    """A statistic in resamples of the groups, `[seeds, RESAMPLES]`, averaged over seeds drawn as well."""
    weight = _draws(np.random.default_rng([seed, len(spread)]), len(spread)) / len(spread)
    return (weight.T * spread).sum(axis=0)


def _draws(rng: np.random.Generator, size: int) -> NDArray[np.int64]:
    """How often each of `size` things is in each resample, `[RESAMPLES, size]`."""
    return rng.multinomial(size, np.full(size, 1 / size), size=RESAMPLES)
