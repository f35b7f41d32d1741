"""What the report shows of answers about whole images; `answers.html.j2` sets it."""

from __future__ import annotations

from typing import Any

from framework.evaluation.report_sources import Artefact

Entry = dict[str, Any]

NAMES = {"auc": "AUC", "accuracy": "Accuracy", "balanced_accuracy": "Balanced accuracy", "kappa": "Quadratic weighted kappa"}


def answer_entry(evaluation: Artefact) -> Entry | None:
    """Every target's statistics and confusion matrix; None for an evaluation of masks alone."""
    summary = evaluation.store.read_json("summary.json")
    if "targets" not in summary:
        return None
    model, corpus = evaluation.parent("model"), evaluation.parent("corpus")
    return {
        "name": evaluation.name,
        "model": model.name if model else "a model that is not recorded",
        "model_key": model.key if model else None,
        "corpus": corpus.name if corpus else "a corpus that is not recorded",
        "split": summary["split"],
        "statistics": NAMES,
        "targets": {name: held | {"rows": _shares(held["confusion"])} for name, held in summary["targets"].items()},
    }


def _shares(confusion: list[list[int]]) -> list[list[Entry]]:
    """Each count with its share of its row, by which a cell is shaded."""
    return [[{"count": count, "share": count / max(1, sum(row))} for count in row] for row in confusion]
