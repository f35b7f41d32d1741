"""What a reader of scores must not overlook, in sentences: classes that are not found, and too few cases."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from framework.evaluation.case_scores import MEAN
from framework.metrics.base import CaseMetric
from framework.metrics.registry import leading

SELDOM = 0.1
"""A class that is found in no larger share of its cases is one that a model does not find."""
OFTEN = 0.5
"""Share of the clean cases from which on false alarms are told."""
FEW = 10
"""Patients with a class below which its score tells little."""

Entry = Mapping[str, Any]


def notices(summary: Entry) -> list[str]:
    """Those of one evaluation, from its `summary.json`."""
    predictors = summary.get("predictors", {})
    told = [line for name, structures in predictors.items() for line in unreliable(name, structures)]
    return told + too_few(next(iter(predictors.values()), {}), summary.get("groups", 0))


def unreliable(who: str, structures: Entry) -> Iterator[str]:
    """Classes that a predictor hardly ever finds, or claims where there are none."""
    for name, entry in _classes(structures):
        (found, there), (alarms, clean) = entry["found"], entry["false_alarms"]
        if there and found <= SELDOM * there:
            yield f"{who} does not find {name}: it marks it in {found} of the {there} cases that have it."
        if clean and alarms > OFTEN * clean:
            yield f"{who} marks {name} in {alarms} of the {clean} cases that do not have it."


def too_few(structures: Entry, groups: int, seeds: int = 1) -> list[str]:
    """Classes that no case has, or so few that their scores say little."""
    counts = {name: entry["found"][1] // seeds for name, entry in _classes(structures)}
    none = [f"No case has {name}: it has no score." for name, count in counts.items() if not count]
    rare = [f"{name} ({count})" for name, count in counts.items() if 0 < count < FEW]
    if rare:
        none.append(f"Too few cases to tell much: {', '.join(rare)}.")
    elif structures and groups < FEW:
        none.append(f"Too few patients to tell much: {groups}.")
    return none


def disagreement(model: str, one: Entry, other: Entry) -> Iterator[str]:
    """Whether two evaluations of a model, of different splits, differ by more than their cases' chance."""
    metric = leading(CaseMetric)
    for name in [name for name in one.get("predictors", {}) if name in other.get("predictors", {})]:
        ends = [each["predictors"][name][MEAN].get(metric.key) for each in (one, other)]
        if all(ends) and differ(*ends):
            said = " and ".join(
                f"{metric.number(end['mean'])} on {each['split']}"
                for end, each in zip(ends, (one, other), strict=True)
            )
            yield f"{model} ({name}): {metric.name} is {said}, which differ by more than chance."


def differ(one: Entry, other: Entry) -> bool:
    """Whether two means of different patients differ by more than their intervals allow, at 95 %."""
    widths = [(ends["high"] - ends["low"]) / 2 for ends in (one, other)]
    return abs(one["mean"] - other["mean"]) > math.hypot(*widths)


def _classes(structures: Entry) -> Sequence[tuple[str, Entry]]:
    return [(name, entry) for name, entry in structures.items() if name != MEAN]
