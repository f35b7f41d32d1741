"""Metrics of how whole images are classified."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from framework.metrics.agreement import Accuracy, BalancedAccuracy, Kappa
from framework.metrics.base import Predictions
from framework.metrics.roc import area


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 4)), min_size=2, max_size=25))
def test_auc_is_the_share_of_pairs_in_the_right_order(images: list[tuple[bool, int]]) -> None:
    positive, score = np.array([p for p, _ in images]), np.array([s for _, s in images], float)
    pairs = [(a > b) + (a == b) / 2 for a in score[positive] for b in score[~positive]]
    (value,) = area(positive, score, np.ones((1, len(images))))
    assert np.isnan(value) if not pairs else value == pytest.approx(np.mean(pairs))


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 4), st.integers(0, 3)), min_size=1, max_size=15))
def test_a_weight_counts_as_so_many_images(images: list[tuple[bool, int, int]]) -> None:
    repeated = [(p, s) for p, s, times in images for _ in range(times)] or [(True, 0)]
    positive, score = np.array([p for p, _, _ in images]), np.array([s for _, s, _ in images], float)
    (weighted,) = area(positive, score, np.array([[times for _, _, times in images]], float))
    (plain,) = area(
        np.array([p for p, _ in repeated]),
        np.array([s for _, s in repeated], float),
        np.ones((1, len(repeated))),
    )
    assert weighted == pytest.approx(plain, nan_ok=True)


def predictions(matrix: np.ndarray) -> Predictions:
    """Each cell of a confusion matrix as one image that counts so often."""
    truth, predicted = np.indices(matrix.shape).reshape(2, -1)
    return Predictions(truth, np.eye(len(matrix))[predicted], matrix.reshape(1, -1))


def test_kappa_of_agreement_of_chance_and_by_hand() -> None:
    assert Kappa().compute(predictions(np.diag([3.0, 4, 5])))[0] == 1
    assert Kappa().compute(predictions(np.outer([2.0, 3, 5], [0.1, 0.5, 0.4])))[0] == pytest.approx(0)
    # By hand: one of ten images is one class off; what is expected follows from the margins.
    matrix = np.array([[4.0, 1, 0], [0, 3, 0], [0, 0, 2]])
    rows, columns = matrix.sum(1) / 10, matrix.sum(0) / 10
    expected = sum(rows[i] * columns[j] * (i - j) ** 2 for i in range(3) for j in range(3))
    assert Kappa().compute(predictions(matrix))[0] == pytest.approx(1 - 0.1 / expected)


def test_accuracy_is_over_images_and_balanced_accuracy_over_the_classes_that_occur() -> None:
    matrix = predictions(np.array([[6.0, 2, 0], [1, 1, 0], [0, 0, 0]]))
    assert Accuracy().compute(matrix)[0] == pytest.approx(7 / 10)
    assert BalancedAccuracy().compute(matrix)[0] == pytest.approx((6 / 8 + 1 / 2) / 2)


def test_a_confusion_matrix_has_the_truth_in_its_rows() -> None:
    counts = Predictions(np.array([0, 0, 2]), np.eye(3)[[1, 0, 2]], np.ones((1, 3))).confusion
    assert counts[0].tolist() == [[1, 1, 0], [0, 0, 0], [0, 0, 1]]
