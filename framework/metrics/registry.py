"""The metrics by key: the place a new one is added to. Other packages add theirs as `scantseg.metrics`."""

from collections.abc import Container
from typing import TypeVar

from framework.core.plugins import by_name, plugins
from framework.metrics.agreement import Accuracy, BalancedAccuracy, Kappa
from framework.metrics.average_precision import AUPR
from framework.metrics.base import Metric
from framework.metrics.boundary_distance import ASD, HD95
from framework.metrics.overlap import Dice, IoU
from framework.metrics.roc import AUC

KINDS: list[type[Metric]] = [
    *(Dice, IoU, HD95, ASD),  # of cases
    AUPR,  # pooled
    *(AUC, Accuracy, BalancedAccuracy, Kappa),  # of whole images
    *plugins("scantseg.metrics"),
]
METRICS: dict[str, Metric] = {key: kind() for key, kind in by_name(KINDS, lambda kind: kind.key).items()}

Scope = TypeVar("Scope", bound=Metric)


def metrics_of(scope: type[Scope], among: Container[str] | None = None) -> list[Scope]:
    """The metrics of a scope; `among` keeps those whose keys are in it, such as the columns of a file."""
    metrics = [metric for metric in METRICS.values() if isinstance(metric, scope)]
    return [metric for metric in metrics if among is None or metric.key in among]


def compared(scope: type[Scope]) -> list[Scope]:
    """The metrics of a scope by which recipes are compared."""
    return [metric for metric in metrics_of(scope) if metric.compared]


def leading(scope: type[Scope]) -> Scope:
    """A scope's first compared metric: it speaks for the scope where there is room for one, and ranks."""
    return compared(scope)[0]
