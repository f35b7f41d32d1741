"""Scores of a comparison beside Dice: AUPR of lesions that may overlap, and of each question about whole images AUC and kappa.

They are no means of cases, so that each is found anew in every resample of the patients, and then averaged over seeds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from framework.core.storage import Store
from framework.evaluation import lesions
from framework.metrics.bootstrap import over_seeds, resamples, spread_interval
from framework.metrics.classification import known_answers, statistics

Row = dict[str, Any]

STATISTICS = {"auc": "AUC", "kappa": "kappa"}


@dataclass(frozen=True)
class Figure:
    """A score of one recipe, by training seed."""

    asked: tuple[str, ...]
    """Lesions or classes: only figures of the same can be held against each other."""
    images: int
    values: NDArray[np.float64]
    """`[seeds]`; NaN where it is undefined."""
    spread: NDArray[np.float64]
    """In each resample of the patients, `[seeds, RESAMPLES]`."""


def recipe_figures(evaluations: Sequence[Store]) -> dict[str, Figure]:
    """The figures of a recipe by name, from one evaluation per seed; none for masks without overlap."""
    seeds = [dict(_seed_figures(evaluation)) for evaluation in evaluations]
    return {name: _joined([held[name] for held in seeds]) for name in seeds[0]}


def figure_rows(figures: dict[str, dict[str, Figure]], control: str) -> dict[str, dict[str, Row]]:
    """By recipe and name: images, mean with its interval, value by seed, and difference to the control; undefined ones left out.

    The difference is paired, seed by seed in the same resamples; None for the control and where the control has no such figure.
    """
    held = figures[control]
    rows: dict[str, dict[str, Row]] = {}
    for recipe, own in figures.items():
        against = {} if recipe == control else held
        found = {name: _row(figure, against.get(name)) for name, figure in own.items()}
        rows[recipe] = {name: row for name, row in found.items() if row is not None}
    return rows


def _row(figure: Figure, against: Figure | None) -> Row | None:
    interval = spread_interval(figure.values.mean(), over_seeds(figure.spread))
    if interval is None:
        return None
    difference = None
    if against is not None and against.asked == figure.asked:
        change = (figure.values - against.values).mean()
        difference = spread_interval(change, over_seeds(figure.spread - against.spread))
    return {
        "images": figure.images,
        **asdict(interval),
        "by_seed": figure.values.tolist(),
        "difference": None if difference is None else asdict(difference),
    }


def _seed_figures(evaluation: Store) -> Iterator[tuple[str, Figure]]:
    """The figures of one seed's evaluation."""
    if evaluation.exists(lesions.FILE):
        counts, groups, names = lesions.counts_of(evaluation.read_table(lesions.FILE))
        value, spread = (
            lesions.areas(counts, weight)[:, -1] for weight in (np.ones((1, len(groups))), resamples(groups))
        )
        yield "AUPR", Figure(tuple(names), len(groups), value, spread[None])
    for target, held in evaluation.read_json("summary.json").get("targets", {}).items():
        truth, probability, groups = known_answers(
            evaluation.read_table("answers.parquet"), target, held["classes"]
        )
        value = statistics(truth, probability, np.ones((1, len(groups))))
        spread = statistics(truth, probability, resamples(groups))
        for key, name in STATISTICS.items():
            yield (
                f"{target} {name}",
                Figure(tuple(held["classes"]), len(groups), value[key], spread[key][None]),
            )


def _joined(seeds: Sequence[Figure]) -> Figure:
    values, spread = (
        np.concatenate([getattr(held, name) for held in seeds]) for name in ("values", "spread")
    )
    return Figure(seeds[0].asked, seeds[0].images, values, spread)
