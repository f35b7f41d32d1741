"""What the report shows of how whole images are classified; `classification.html.j2` sets it."""

from typing import Any

from framework.metrics.base import ImageMetric
from framework.metrics.registry import metrics_of
from framework.reporting.sources import Artifact, origin

Entry = dict[str, Any]


def classification_entry(evaluation: Artifact) -> Entry | None:
    """Every target's metrics and confusion matrix; None for an evaluation of masks alone."""
    summary = evaluation.store.read_json("summary.json")
    if "targets" not in summary:
        return None
    targets = summary["targets"]
    return origin(evaluation) | {
        "split": summary["split"],
        "metrics": metrics_of(ImageMetric, next(iter(targets.values()))),
        "targets": {
            name: scores | {"rows": _shares(scores["confusion"])} for name, scores in targets.items()
        },
    }


def _shares(confusion: list[list[int]]) -> list[list[Entry]]:
    """Each count with its share of its row, by which a cell is shaded."""
    return [[{"count": count, "share": count / max(1, sum(row))} for count in row] for row in confusion]
