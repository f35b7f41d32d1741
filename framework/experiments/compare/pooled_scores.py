"""Scores of a comparison that are no means of cases: pooled metrics, and metrics of whole images by target.

Each is computed anew in every resample of the patients, and then averaged over seeds.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from framework.core.storage import Store
from framework.evaluation import classification, pooled
from framework.evaluation.summary import read_summary
from framework.experiments.compare.verdict import Row, difference_row
from framework.metrics.base import ImageMetric, PooledMetric
from framework.metrics.bootstrap import Resampled, over_seeds, resamples, spread_interval
from framework.metrics.registry import compared


class PooledScore(NamedTuple):
    """A score of one recipe by the metric of a key; only scores over the same classes can be compared."""

    metric: str
    classes: tuple[str, ...]
    images: int
    patients: int
    values: NDArray[np.float64]
    """By training seed, `[seeds]`; NaN where it is undefined."""
    spread: NDArray[np.float64]
    """In each resample of the patients, `[seeds, RESAMPLES]`."""


def recipe_scores(evaluations: Sequence[Store]) -> dict[str, PooledScore]:
    """The pooled scores of a recipe by name, from one evaluation per seed; none for masks without overlap."""
    seeds = [dict(_seed_scores(evaluation)) for evaluation in evaluations]
    return {name: _joined([scores[name] for scores in seeds]) for name in seeds[0]}


def pooled_rows(scores: dict[str, dict[str, PooledScore]], control: str) -> dict[str, dict[str, Row]]:
    """By recipe and name: metric, images, mean with its interval, value by seed, difference to the control.

    Undefined scores are left out. The difference is paired, seed by seed in the same resamples; None for the
    control and where it has no such score.
    """
    rows: dict[str, dict[str, Row]] = {}
    for recipe, own in scores.items():
        against = {} if recipe == control else scores[control]
        entries = {name: _row(score, against.get(name)) for name, score in own.items()}
        rows[recipe] = {name: row for name, row in entries.items() if row is not None}
    return rows


def _row(score: PooledScore, against: PooledScore | None) -> Row | None:
    interval = spread_interval(score.values.mean(), over_seeds(score.spread))
    if interval is None:
        return None
    difference = None
    if against is not None and against.classes == score.classes:
        values, spread = score.values - against.values, score.spread - against.spread
        difference = difference_row(Resampled(values[:, None], spread[..., None]), score.patients)
    by_seed = {"by_seed": score.values.tolist(), "difference": difference}
    return {"metric": score.metric, "images": score.images} | interval | by_seed


def _seed_scores(evaluation: Store) -> Iterator[tuple[str, PooledScore]]:
    if evaluation.exists(pooled.FILE):
        table = evaluation.read_table(pooled.FILE)
        classes, groups = pooled.classes_and_groups(table)
        weights = np.ones((1, len(groups))), resamples(groups)
        for metric in compared(PooledMetric):
            parts = pooled.contributions(table, metric)
            value, spread = (pooled.pooled_values(metric, parts, weight)[:, -1] for weight in weights)
            counts = len(groups), len(set(groups))
            yield metric.name, PooledScore(metric.key, tuple(classes), *counts, value, spread[None])
    for target, scores in read_summary(evaluation).get("targets", {}).items():
        table, classes = evaluation.read_table(classification.FILE), scores["classes"]
        once, drawn = classification.known_predictions(table, target, classes)
        for metric in compared(ImageMetric):
            value, spread = metric.compute(once), metric.compute(drawn)[None]
            counts = scores["images"], scores["groups"]
            score = PooledScore(metric.key, tuple(classes), *counts, value, spread)
            yield f"{target} {metric.name}", score


def _joined(seeds: Sequence[PooledScore]) -> PooledScore:
    values = np.concatenate([seed.values for seed in seeds])
    return seeds[0]._replace(values=values, spread=np.concatenate([seed.spread for seed in seeds]))
