"""What the report shows of answers about whole images; `answers.html.j2` sets it."""

from __future__ import annotations

from typing import Any

from framework.reporting.sources import Artifact, origin

Entry = dict[str, Any]

NAMES = {
    "auc": "AUC",
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "kappa": "Quadratic weighted kappa",
}


def answer_entry(evaluation: Artifact) -> Entry | None:
    """Every target's statistics and confusion matrix; None for an evaluation of masks alone."""
    summary = evaluation.store.read_json("summary.json")
    if "targets" not in summary:
        return None
    return origin(evaluation) | {
        "split": summary["split"],
        "statistics": NAMES,
        "targets": {
            name: held | {"rows": _shares(held["confusion"])} for name, held in summary["targets"].items()
        },
    }


def _shares(confusion: list[list[int]]) -> list[list[Entry]]:
    """Each count with its share of its row, by which a cell is shaded."""
    return [[{"count": count, "share": count / max(1, sum(row))} for count in row] for row in confusion]
