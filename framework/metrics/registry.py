"""The metrics by key: the one place that a new one is added to. Other packages add theirs as `scantseg.metrics`."""

from __future__ import annotations

from collections.abc import Container
from typing import TypeVar

from framework.core.errors import ConfigError
from framework.core.plugins import plugins
from framework.metrics.agreement import Accuracy, BalancedAccuracy, Kappa
from framework.metrics.average_precision import AUPR
from framework.metrics.base import Metric
from framework.metrics.boundary_distance import ASD, HD95
from framework.metrics.overlap import Dice, IoU
from framework.metrics.roc import AUC

CASE = [Dice, IoU, HD95, ASD]
POOLED = [AUPR]
IMAGE = [AUC, Accuracy, BalancedAccuracy, Kappa]

Scope = TypeVar("Scope", bound=Metric)


def by_key(kinds: list[type[Metric]]) -> dict[str, Metric]:
    """One of each kind, by its key; raises `ConfigError` when two have the same."""
    metrics: dict[str, Metric] = {}
    for kind in kinds:
        if other := metrics.get(kind.key):
            where = f"{type(other).__module__} and {kind.__module__}"
            raise ConfigError(f"metric '{kind.key}' is in both {where}; uninstall one of them")
        metrics[kind.key] = kind()
    return metrics


METRICS = by_key([*CASE, *POOLED, *IMAGE, *plugins("scantseg.metrics")])


def metrics_of(scope: type[Scope], among: Container[str] | None = None) -> list[Scope]:
    """The metrics of a scope; `among` keeps those whose keys are in it, such as the columns of a file."""
    return [
        metric
        for metric in METRICS.values()
        if isinstance(metric, scope) and (among is None or metric.key in among)
    ]


def compared(scope: type[Scope]) -> list[Scope]:
    """The metrics of a scope by which recipes are compared."""
    return [metric for metric in metrics_of(scope) if metric.compared]


def leading(scope: type[Scope]) -> Scope:
    """The first compared metric of a scope: it speaks for the scope where there is room for one, and ranks."""
    return compared(scope)[0]
