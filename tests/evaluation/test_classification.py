"""The summary of how whole images were classified."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from framework.corpus.targets import Target
from framework.evaluation.classification import SCHEMA, prediction_row, summarise_target
from framework.metrics.agreement import Accuracy
from framework.metrics.roc import AUC
from framework.training.validation import known_of, validated

TARGET = Target("grade", 0, ("none", "mild", "severe"), (0, 1, 2), "method.targets.grade")


def table(truths: list[int], seed: int = 0) -> pa.Table:
    rng = np.random.default_rng(seed)
    rows = []
    for i, truth in enumerate(truths):
        probability = rng.dirichlet(np.ones(3) + 4 * np.eye(3)[truth])
        rows.append(prediction_row(TARGET, f"i{i}", f"p{i // 2}", truth, probability))
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def test_a_summary_has_intervals_around_its_metrics_and_leaves_out_what_is_not_known() -> None:
    summary = summarise_target(table([0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2, -1, -1] * 4), TARGET)
    assert summary["images"] == 48 and sum(map(sum, summary["confusion"])) == 48
    for name in ("auc", "accuracy", "balanced_accuracy", "kappa"):
        assert summary[name]["low"] < summary[name]["mean"] < summary[name]["high"] <= 1


def test_one_class_alone_has_no_auc() -> None:
    summary = summarise_target(table([1] * 6), TARGET)
    assert summary["auc"] is None and summary["accuracy"] is not None
    alone = known_of([1, 1, -1], np.ones((3, 3)) / 3)
    assert validated(AUC(), alone) == 0.5 and validated(Accuracy(), alone) == 0
