"""Whether a recipe is better than the control, in sentences, and how much more it would take to tell."""

import math
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import numpy as np

from framework.evaluation.case_scores import MEAN
from framework.evaluation.notices import differ, too_few, unreliable
from framework.metrics.base import APART, BETTER, WORSE, Metric
from framework.metrics.bootstrap import Resampled
from framework.metrics.registry import METRICS

Row = dict[str, Any]

Z = 1.96
"""Standard errors on each side of a mean within which 95 % of a normal distribution lie."""
FEW_SEEDS = 3
TOO_MANY = 100
"""Times as many patients or seeds, from which on no number is given."""


def difference_row(change: Resampled, patients: int) -> Row | None:
    """A difference of one column with its interval, and what would tell it from zero if it stays as it is.

    `patients` and `seeds` are numbers of which either alone would do, with as many of the other as now; None
    where that alone would not. They follow from the variances over patients and over seeds.
    """
    [interval] = change.intervals()
    if interval is None:
        return None
    row, seeds = asdict(interval) | {"patients": None, "seeds": None}, len(change.values)
    if interval.low <= 0 <= interval.high:
        by_patient = float(np.nanvar(change.spread.mean(0)))
        by_seed = float(change.values.var(ddof=1)) / seeds if seeds > 1 else 0.0
        allowed = (interval.mean / Z) ** 2
        row["patients"] = _enough(patients, by_patient, allowed - by_seed)
        row["seeds"] = _enough(seeds, by_seed, allowed - by_patient)
    return row


def _enough(now: int, variance: float, allowed: float) -> int | None:
    """How many make a variance, which falls with their number, as small as is allowed; None for too many."""
    if allowed <= 0 or variance > TOO_MANY * allowed:
        return None
    return max(now + 1, math.ceil(now * variance / allowed))


def verdicts(table: Row) -> list[Row]:
    """For each score that recipes are compared by, a sentence and one for each difference that is open."""
    firsts = {row["recipe"]: row for row in reversed(table["rows"])}
    names = [name for name in table["curves"] if name != table["control"]]
    told = []
    for key in table["metrics"]:
        differences = {name: firsts[name]["scores"].get(key, {}).get("difference") for name in names}
        told.append(_verdict(table, METRICS[key].name, METRICS[key], differences))
    for name, described in table["pooled"].items():
        scores = {recipe: firsts[recipe]["pooled"].get(name) or {} for recipe in names}
        differences = {recipe: score.get("difference") for recipe, score in scores.items()}
        told.append(_verdict(table, name, METRICS[described["metric"]], differences))
    return [verdict for verdict in told if verdict["sentence"]]


def _verdict(table: Row, by: str, metric: Metric, differences: dict[str, Row | None]) -> Row:
    control, groups = table["control"], {how: [] for how in (BETTER, WORSE, APART)}
    known = {name: difference for name, difference in differences.items() if difference}
    for name, difference in known.items():
        groups[metric.standing(difference)].append(name)
    parts = [f"{_listed(names)} {how} {control}" for how, names in groups.items() if names]
    sentence = f"By {by}, {'; '.join(parts)}." if parts else ""
    details = [_what_would_tell(name, known[name], metric, table) for name in groups[APART]]
    return {"by": by, "sentence": sentence, "details": details}


def _listed(names: list[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]} are" if names[1:] else f"{names[0]} is"


def _what_would_tell(name: str, difference: Row, metric: Metric, table: Row) -> str:
    patients, seeds = difference["patients"], difference["seeds"]
    ways = [f"about {patients:,} patients ({table['groups']:,} now)"] if patients else []
    ways += [f"about {seeds:,} seeds ({len(table['seeds'])} now)"] if seeds else []
    needs = f"{' or '.join(ways)} would tell" if ways else "it takes many more patients and seeds to tell"
    return f"{name}: {metric.text(difference, '+')}; if that is the difference, {needs}."


def notices(table: Row) -> list[str]:
    """What a reader of the table must not overlook."""
    told = [line for row in table["rows"] if "counts" in row for line in unreliable(_who(row), row["counts"])]
    counts = next((row["counts"] for row in table["rows"] if "counts" in row), {})
    return [*told, *too_few(counts, table["groups"], len(table["seeds"])), *_few_seeds(table)]


def _few_seeds(table: Row) -> Iterator[str]:
    seeds = len(table["seeds"])
    if seeds < FEW_SEEDS:
        unknown = "how much trainings differ is not known" if seeds == 1 else "two trainings say little"
        yield f"{seeds} seed{'s' * (seeds > 1)}: {unknown}, so that a difference may be that of two seeds."


def _who(row: Row) -> str:
    return f"{row['recipe']} ({row['predictor']})"


def disagreement(table: Row, other: Row) -> Iterator[str]:
    """Rows of two tables, of different splits, whose mean scores differ by more than chance."""
    twins = {_who(row): row["scores"] for row in other["rows"]}
    for row in table["rows"]:
        shared = twins.get(_who(row), {})
        for key in row["scores"].keys() & shared.keys():
            here, there = (scores[key]["classes"][MEAN] for scores in (row["scores"], shared))
            if here and there and differ(here, there):
                one, two = (METRICS[key].number(end["mean"]) for end in (here, there))
                said = f"{one} on {table['split']} and {two} on {other['split']}"
                yield f"{_who(row)}: {METRICS[key].name} is {said}, which differ by more than chance."
