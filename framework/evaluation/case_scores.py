"""What a predictor scored, case by case, and its means: over cases that have a structure, and over all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from framework.metrics.base import CaseMetric, Numbers, OverlapMetric
from framework.metrics.bootstrap import Resampled, means
from framework.metrics.registry import metrics_of

Flags = NDArray[np.bool_]
MEAN = "mean"
"""Stands beside the classes for the mean over them."""


@dataclass(frozen=True, eq=False)
class CaseScores:
    """One predictor's scores of N cases and K foreground classes, from trainings with S seeds."""

    classes: list[str]
    groups: list[str]
    """The patient of each case."""
    values: dict[str, Numbers]
    """By metric, `[S, N, K]`; NaN where the class is neither in the truth nor predicted."""
    present: Flags
    """Whether a case has a class, `[N, K]`."""
    predicted: Flags
    """Whether it was given it, `[S, N, K]`."""

    @classmethod
    def of(cls, tables: Sequence[pa.Table], cases: dict[str, str], classes: Sequence[str]) -> CaseScores:
        """From a predictor's rows of the per-case table of each seed; `cases` has the group of each case."""
        metrics = [metric.key for metric in metrics_of(CaseMetric, tables[0].schema.names)]
        columns = [_arrays(table, list(cases), classes, [*metrics, "truth", "predicted"]) for table in tables]
        values = {key: np.stack([column[..., i] for column in columns]) for i, key in enumerate(metrics)}
        present, predicted = columns[0][..., -2] > 0, np.stack([each[..., -1] > 0 for each in columns])
        return cls(list(classes), list(cases.values()), values, present, predicted)

    @property
    def seeds(self) -> int:
        return len(self.predicted)

    @property
    def clean(self) -> bool:
        """Whether some case lacks a class, so that false alarms are possible."""
        return not self.present.all()

    def headline(self, metric: CaseMetric) -> Resampled:
        """The means over the cases that have a class, and at last the mean over the classes."""
        shown = np.where(self.present, self.values[metric.key], np.nan)
        return means(shown, self.groups).with_mean()

    def over_all(self, metric: CaseMetric) -> Resampled:
        """The means over all cases, in which a class that is neither there nor predicted is a success."""
        values = self.values[metric.key]
        return means(np.where(np.isnan(values), metric.absent, values), self.groups).with_mean()

    def difference(self, other: CaseScores, metric: CaseMetric) -> Resampled:
        """By how much the mean over classes is above another's, over the same cases and seeds: one column."""
        assert np.array_equal(self.present, other.present), "both are scored against the same masks"
        change = self.values[metric.key] - other.values[metric.key]
        paired = means(np.where(self.present, change, np.nan), self.groups).with_mean()
        return Resampled(paired.values[:, -1:], paired.spread[..., -1:])

    def structures(self) -> dict[str, dict[str, Any]]:
        """By class and for their mean: metrics with intervals, what was found, and false alarms.

        `found` and `false_alarms` are `[count, of how many]` over cases and seeds; `all_cases` holds the
        means over all cases.
        """
        entries = {name: self._counts(k) for k, name in enumerate(self.classes)} | {MEAN: self._counts()}
        for metric in metrics_of(CaseMetric, self.values):
            means = zip(self.headline(metric).intervals(), self.over_all(metric).intervals(), strict=True)
            for entry, (interval, over_all) in zip(entries.values(), means, strict=True):
                missed = entry["found"][1] - entry["found"][0]
                entry[metric.key] = interval and asdict(interval) | ({"missed": missed} if missed else {})
                entry["all_cases"][metric.key] = over_all and asdict(over_all)
        return entries

    def of_silence(self) -> CaseScores:
        """What a model scores that predicts nothing, by metrics of overlap: the reference."""
        worst = np.where(self.present, 0.0, np.nan)[None]
        values = {metric.key: worst for metric in metrics_of(OverlapMetric, self.values)}
        nothing = np.zeros_like(self.predicted[:1])
        return CaseScores(self.classes, self.groups, values, self.present, nothing)

    def _counts(self, column: int | slice = slice(None)) -> dict[str, Any]:
        present, predicted = self.present[:, column], self.predicted[:, :, column]
        found, alarms = int((predicted & present).sum()), int((predicted & ~present).sum())
        there, absent = int(present.sum()) * self.seeds, int((~present).sum()) * self.seeds
        return {"found": [found, there], "false_alarms": [alarms, absent], "all_cases": {}}


def _arrays(table: pa.Table, cases: Sequence[str], classes: Sequence[str], columns: list[str]) -> Numbers:
    """Columns of one predictor's rows as `[cases, classes, columns]`, in these orders; NaN for nulls."""
    row, place = ({name: i for i, name in enumerate(names)} for names in (cases, classes))
    values = np.full((len(cases), len(classes), len(columns)), np.nan)
    for entry in table.select(["case", "class", *columns]).to_pylist():
        values[row[entry["case"]], place[entry["class"]]] = [entry[name] for name in columns]
    assert not np.isnan(values[..., -2:]).any(), "an evaluation lacks a case or a class"
    return values
