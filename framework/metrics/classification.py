"""How well questions about whole images are answered: AUC, accuracy, quadratic weighted kappa and the confusion matrix.

Every number comes with an interval over resampled patients (`intervals.py`): a resample is a weight for each image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from framework.corpus.targets import UNKNOWN, Target
from framework.metrics.bootstrap import METHOD, resamples, spread_interval

Numbers = NDArray[np.float64]

SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("target", "id", "group", "truth", "answer")]
    + [("probability", pa.list_(pa.float64()))]
)
STATISTICS = ("auc", "accuracy", "balanced_accuracy", "kappa")


def answer_row(target: Target, name: str, group: str, truth: int, probability: Numbers) -> dict[str, Any]:
    """The row of one image: the classes' names, and the probability of each."""
    return {
        "target": target.name,
        "id": name,
        "group": group,
        "truth": target.classes[truth] if truth != UNKNOWN else None,
        "answer": target.classes[int(probability.argmax())],
        "probability": probability.tolist(),
    }


def summarise_answers(table: pa.Table, target: Target) -> dict[str, Any]:
    """One target's part of `summary.json`, of the images whose class is known.

    AUC is that of one class against all others, averaged over the classes that occur, and None when one class alone does.
    """
    truth, probability, groups = known_answers(table, target.name, target.classes)
    once, drawn = np.ones((1, len(groups))), resamples(groups)
    values, spread = statistics(truth, probability, once), statistics(truth, probability, drawn)
    matrix = confusion(truth, probability.argmax(1), probability.shape[1], once)[0]
    return {
        "classes": list(target.classes),
        "images": len(groups),
        "interval": METHOD,
        "confusion": matrix.astype(int).tolist(),
        **{name: _interval(values[name][0], spread[name]) for name in STATISTICS},
    }


def known_answers(
    table: pa.Table, target: str, classes: Sequence[str]
) -> tuple[NDArray[np.int64], Numbers, list[str]]:
    """Of a target's images whose class is known: class `[N]`, probabilities `[N, C]`, and groups."""
    rows = [row for row in table.to_pylist() if row["target"] == target and row["truth"] is not None]
    truth = np.array([list(classes).index(row["truth"]) for row in rows])
    return truth, np.array([row["probability"] for row in rows]), [row["group"] for row in rows]


def statistics(truth: NDArray[np.int64], probability: Numbers, weight: Numbers) -> dict[str, Numbers]:
    """All statistics, each `[R]`, of classes `[N]` and probabilities `[N, C]` under weights `[R, N]`; NaN where undefined."""
    count = probability.shape[1]
    matrix = confusion(truth, probability.argmax(1), count, weight)
    right, total = np.diagonal(matrix, axis1=1, axis2=2), matrix.sum((1, 2))
    with np.errstate(invalid="ignore"):
        recall = right / matrix.sum(2)
    present = [k for k in range(count) if 0 < (truth == k).sum() < len(truth)]
    areas = [auc(truth == k, probability[:, k], weight) for k in present]
    return {
        "auc": np.mean(areas, axis=0) if areas else np.full(len(weight), np.nan),
        "accuracy": right.sum(1) / total,
        "balanced_accuracy": np.nanmean(recall, axis=1),
        "kappa": kappa(matrix),
    }


def auc(positive: NDArray[np.bool_], score: Numbers, weight: Numbers) -> Numbers:
    """Area under the ROC curve `[R]`: how likely a positive image scores above a negative one, ties counting half."""
    order = np.argsort(score, kind="stable")
    starts = np.flatnonzero(np.diff(score[order], prepend=-np.inf))
    above, below = (
        np.add.reduceat(weight[:, order] * kind[order], starts, axis=1) for kind in (positive, ~positive)
    )
    beaten = below.cumsum(1) - below / 2
    with np.errstate(invalid="ignore"):
        return (above * beaten).sum(1) / (above.sum(1) * below.sum(1))


def confusion(truth: NDArray[np.int64], answer: NDArray[np.int64], count: int, weight: Numbers) -> Numbers:
    """Weighted counts `[R, C, C]`: rows are the truth, columns the answers."""
    cell = np.eye(count * count)[truth * count + answer]
    return (weight @ cell).reshape(-1, count, count)


def kappa(matrix: Numbers) -> Numbers:
    """Cohen's kappa with quadratic weights `[R]` of counts `[R, C, C]`; 1 is agreement, 0 chance, NaN where one class is all."""
    place = np.arange(matrix.shape[1])
    distance = (place[:, None] - place) ** 2
    expected = matrix.sum(2)[:, :, None] * matrix.sum(1)[:, None] / matrix.sum((1, 2))[:, None, None]
    with np.errstate(invalid="ignore", divide="ignore"):
        return 1 - (distance * matrix).sum((1, 2)) / (distance * expected).sum((1, 2))


def _interval(value: float, spread: Numbers) -> dict[str, float] | None:
    found = spread_interval(value, spread)
    return None if found is None else asdict(found)


def macro_auc(truth: Sequence[int], probability: Numbers) -> float:
    """The AUC of `summarise_answers`, for validation; 0.5 when one class alone occurs."""
    known = np.asarray(truth) != UNKNOWN
    weight = np.ones((1, int(known.sum())))
    found = statistics(np.asarray(truth)[known], probability[known], weight)["auc"][0]
    return float(found) if np.isfinite(found) else 0.5
