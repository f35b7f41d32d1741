"""Means with bootstrap confidence intervals that resample patients, whose images resemble each other.

The cluster bootstrap draws whole patients with replacement (Field and Welsh, J. R. Stat. Soc. B 69, 2007),
seeds on their own (Owen, The pigeonhole bootstrap, Ann. Appl. Stat. 1, 2007).
"""

from __future__ import annotations

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


@dataclass(frozen=True, eq=False)
class Resampled:
    """A statistic of each of C columns: by training seed, and in every resample of the patients; NaN where
    it is not defined."""

    values: NDArray[np.float64]
    """`[seeds, C]`."""
    spread: NDArray[np.float64]
    """`[seeds, RESAMPLES, C]`."""

    def with_mean(self) -> Resampled:
        """With one more column: the mean of those that are defined."""
        return Resampled(_with_mean(self.values), _with_mean(self.spread))

    def intervals(self, seed: int = 0) -> list[Interval | None]:
        """Over patients and seeds, for each column; None where no case defines it.

        A few seeds show little of the spread between seeds, so the interval is then rather narrow.
        """
        columns = zip(self.values.T, self.spread.transpose(2, 0, 1), strict=True)
        ends = (spread_interval(values.mean(), over_seeds(spread, seed)) for values, spread in columns)
        return [None if interval is None else Interval(**interval) for interval in ends]


def means(values: ArrayLike, groups: Sequence[str], seed: int = 0) -> Resampled:
    """The means of columns of `values` `[seeds, cases, C]` over the cases that are not NaN; `groups[i]` is
    the patient of case i. All columns share the same resamples."""
    columns = np.asarray(values, dtype=np.float64)
    members = np.unique(np.asarray(groups), return_inverse=True)[1]
    drawn = _draws(np.random.default_rng(seed), int(members.max()) + 1)
    sums, counts = (_by_group(part, members) for part in (np.nan_to_num(columns), np.isfinite(columns)))
    with np.errstate(invalid="ignore"):
        return Resampled(sums.sum(1) / counts.sum(1), (drawn @ sums) / (drawn @ counts))


def mean_intervals(values: ArrayLike, groups: Sequence[str], seed: int = 0) -> list[Interval]:
    """One interval for each column of `values` `[cases, columns]`, which has no NaN; with one group the
    interval is the mean."""
    return crossed_intervals(np.asarray(values, dtype=np.float64)[None], groups, seed)


def crossed_intervals(values: ArrayLike, groups: Sequence[str], seed: int = 0) -> list[Interval]:
    """One interval for each column of `values` `[seeds, cases, columns]`, over patients and seeds alike."""
    return [interval for interval in means(values, groups, seed).intervals(seed) if interval is not None]


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


def _by_group(values: NDArray[np.generic], members: NDArray[np.int64]) -> NDArray[np.float64]:
    """Sums `[S, G, C]` of values `[S, N, C]` over the cases of each group; `members[i]` is that of case i."""
    sums = np.zeros((len(values), int(members.max()) + 1, values.shape[2]))
    for total, own in zip(sums, values, strict=True):
        np.add.at(total, members, own)
    return sums


def _with_mean(columns: NDArray[np.float64]) -> NDArray[np.float64]:
    defined = np.isfinite(columns).sum(-1, keepdims=True)
    with np.errstate(invalid="ignore"):
        return np.concatenate([columns, np.nansum(columns, -1, keepdims=True) / defined], axis=-1)


def _draws(rng: np.random.Generator, size: int) -> NDArray[np.int64]:
    """How often each of `size` things is in each resample, `[RESAMPLES, size]`."""
    return rng.multinomial(size, np.full(size, 1 / size), size=RESAMPLES)
