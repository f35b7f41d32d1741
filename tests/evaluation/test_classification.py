"""Statistics of answers about whole images."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from framework.corpus.targets import Target
from framework.metrics.classification import (
    SCHEMA,
    answer_row,
    auc,
    confusion,
    kappa,
    macro_auc,
    summarise_answers,
)

TARGET = Target("grade", 0, ("none", "mild", "severe"), (0, 1, 2), "method.targets.grade")


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 4)), min_size=2, max_size=25))
def test_auc_is_the_share_of_pairs_in_the_right_order(images: list[tuple[bool, int]]) -> None:
    positive, score = np.array([p for p, _ in images]), np.array([s for _, s in images], float)
    pairs = [(a > b) + (a == b) / 2 for a in score[positive] for b in score[~positive]]
    (found,) = auc(positive, score, np.ones((1, len(images))))
    assert np.isnan(found) if not pairs else found == pytest.approx(np.mean(pairs))


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 4), st.integers(0, 3)), min_size=1, max_size=15))
def test_a_weight_counts_as_so_many_images(images: list[tuple[bool, int, int]]) -> None:
    repeated = [(p, s) for p, s, times in images for _ in range(times)] or [(True, 0)]
    positive, score = np.array([p for p, _, _ in images]), np.array([s for _, s, _ in images], float)
    (weighted,) = auc(positive, score, np.array([[times for _, _, times in images]], float))
    (plain,) = auc(
        np.array([p for p, _ in repeated]),
        np.array([s for _, s in repeated], float),
        np.ones((1, len(repeated))),
    )
    assert weighted == pytest.approx(plain, nan_ok=True)


def test_kappa_of_agreement_of_chance_and_by_hand() -> None:
    assert kappa(np.diag([3.0, 4, 5])[None])[0] == 1
    assert kappa(np.outer([2.0, 3, 5], [0.1, 0.5, 0.4])[None])[0] == pytest.approx(0)
    # Observed disagreement 0.1 * 1 + 0.1 * 4, expected 2 * 0.25 * 1 + 2 * ... by the margins (0.5, 0.3, 0.2) and (0.4, 0.4, 0.2).
    matrix = np.array([[4.0, 1, 0], [0, 3, 0], [0, 0, 2]])
    rows, columns = matrix.sum(1) / 10, matrix.sum(0) / 10
    expected = sum(rows[i] * columns[j] * (i - j) ** 2 for i in range(3) for j in range(3))
    assert kappa(matrix[None])[0] == pytest.approx(1 - 0.1 / expected)


def test_a_confusion_matrix_has_the_truth_in_its_rows() -> None:
    found = confusion(np.array([0, 0, 2]), np.array([1, 0, 2]), 3, np.ones((1, 3)))[0]
    assert found.tolist() == [[1, 1, 0], [0, 0, 0], [0, 0, 1]]


def table(truths: list[int], seed: int = 0) -> pa.Table:
    rng = np.random.default_rng(seed)
    rows = []
    for i, truth in enumerate(truths):
        probability = rng.dirichlet(np.ones(3) + 4 * np.eye(3)[truth])
        rows.append(answer_row(TARGET, f"i{i}", f"p{i // 2}", truth, probability))
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def test_a_summary_has_intervals_around_its_statistics_and_leaves_out_what_is_not_known() -> None:
    found = summarise_answers(table([0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2, -1, -1] * 4), TARGET)
    assert found["images"] == 48 and sum(map(sum, found["confusion"])) == 48
    for name in ("auc", "accuracy", "balanced_accuracy", "kappa"):
        assert found[name]["low"] < found[name]["mean"] < found[name]["high"] <= 1


def test_one_class_alone_has_no_auc() -> None:
    found = summarise_answers(table([1] * 6), TARGET)
    assert found["auc"] is None and found["accuracy"] is not None
    assert macro_auc([1, 1, -1], np.ones((3, 3)) / 3) == 0.5
