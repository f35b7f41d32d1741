from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from monai.metrics.hausdorff_distance import compute_hausdorff_distance
from monai.metrics.meandice import compute_dice
from monai.metrics.surface_distance import compute_average_surface_distance

from framework.metrics.base import APART, BETTER, WORSE, CaseMetric
from framework.metrics.case_masks import CaseMasks
from framework.metrics.registry import METRICS, metrics_of


def score(truth: np.ndarray, predicted: np.ndarray, *more: Any, **named: Any) -> Any:
    """All metrics of cases and the sizes of the masks, as attributes."""
    masks = CaseMasks.of(truth, predicted, *more, **named)
    values = {metric.key: metric.value(masks) for metric in metrics_of(CaseMetric)}
    return SimpleNamespace(
        **values, truth=masks.true_pixels, predicted=masks.predicted_pixels, state=masks.state
    )


@st.composite
def mask_pairs(draw, count: int = 2):
    shape = draw(array_shapes(min_dims=2, max_dims=3, min_side=1, max_side=9))
    spacing = tuple(draw(st.floats(0.2, 10)) for _ in shape)
    return *(draw(arrays(np.bool_, shape)) for _ in range(count)), spacing


def blobs(shape: tuple[int, ...], seed: int) -> np.ndarray:
    centre = np.random.default_rng(seed).uniform(0.2, 0.8, len(shape)) * shape
    away = np.indices(shape) - centre.reshape(-1, *[1] * len(shape))
    return np.sqrt((away**2).sum(0)) < min(shape) * 0.35


def monai_scores(
    truth: np.ndarray, predicted: np.ndarray, spacing: tuple[float, ...]
) -> tuple[float, float, float]:
    y, p = (torch.from_numpy(mask)[None, None].float() for mask in (truth, predicted))
    dice = compute_dice(p, y, include_background=True)
    hd95 = compute_hausdorff_distance(p, y, include_background=True, percentile=95, spacing=list(spacing))
    asd = compute_average_surface_distance(
        p, y, include_background=True, symmetric=True, spacing=list(spacing)
    )
    return float(dice), float(hd95), float(asd)


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (0.5, 1.7), (10.0, 1.5, 1.25), (1.0, 1.0, 1.0)])
@pytest.mark.parametrize("seed", range(3))
def test_agrees_with_monai_on_blobs(spacing: tuple[float, ...], seed: int):
    shape = (23, 31) if len(spacing) == 2 else (9, 20, 26)
    truth, predicted = blobs(shape, seed), blobs(shape, seed + 100)
    result = score(truth, predicted, spacing)
    assert (result.dice, result.hd95, result.asd) == pytest.approx(
        monai_scores(truth, predicted, spacing), rel=1e-5
    )


@settings(max_examples=60, deadline=None)
@given(mask_pairs())
def test_agrees_with_monai_on_noise(pair):
    truth, predicted, spacing = pair
    result = score(truth, predicted, spacing)
    if result.state == "both":
        assert (result.dice, result.hd95, result.asd) == pytest.approx(
            monai_scores(truth, predicted, spacing), rel=1e-4
        )


@given(mask_pairs())
def test_is_symmetric_but_for_the_state(pair):
    a, b, spacing = pair
    forth, back = score(a, b, spacing), score(b, a, spacing)
    assert (forth.dice, forth.iou, forth.hd95) == (back.dice, back.iou, back.hd95)
    assert forth.asd == back.asd or forth.asd == pytest.approx(back.asd)
    assert (forth.truth, forth.predicted) == (back.predicted, back.truth)


@given(mask_pairs(count=1))
def test_perfect_is_one_and_zero(pair):
    mask, spacing = pair
    mask.flat[0] = True
    result = score(mask, mask, spacing)
    assert (result.dice, result.iou, result.hd95, result.asd) == (1, 1, 0, 0)


@given(mask_pairs())
def test_range(pair):
    result = score(*pair)
    if result.state == "absent":
        assert result.dice is result.iou is result.hd95 is result.asd is None
        return
    assert 0 <= result.iou <= result.dice <= 1
    assert result.dice == pytest.approx(2 * result.iou / (1 + result.iou))
    diagonal = CaseMasks.of(*pair).diagonal
    assert 0 <= result.asd <= diagonal and 0 <= result.hd95 <= diagonal


@given(mask_pairs())
def test_a_miss_is_never_better_than_a_prediction(pair):
    truth, predicted, spacing = pair
    truth.flat[0] = True
    result, miss = score(truth, predicted, spacing), score(truth, np.zeros_like(truth), spacing)
    assert miss.dice <= result.dice and miss.iou <= result.iou
    assert miss.hd95 >= result.hd95 and miss.asd >= result.asd


def test_empty_policy():
    full, empty = np.ones((3, 4), bool), np.zeros((3, 4), bool)
    missed, alarm, absent = score(full, empty, (1, 1)), score(empty, full, (2, 2)), score(empty, empty)
    assert (missed.state, missed.dice, missed.iou, missed.hd95, missed.asd) == ("missed", 0, 0, 5, 5)
    assert (alarm.state, alarm.dice, alarm.iou, alarm.hd95, alarm.asd) == ("false alarm", 0, 0, 10, 10)
    assert (absent.state, absent.dice, absent.iou, absent.hd95, absent.asd) == ("absent", *[None] * 4)


def test_ignored_pixels_belong_to_neither_mask():
    truth, predicted, ignored = (np.zeros((6, 6), bool) for _ in range(3))
    truth[:3, :3] = predicted[:3, :3] = True
    predicted[4:, 4:] = ignored[4:, 4:] = True
    result = score(truth, predicted, ignored=ignored)
    assert (result.dice, result.hd95, result.predicted) == (1, 0, 9)
    assert score(truth, predicted).dice < 1
    assert score(truth, predicted, ignored=truth | ignored).state == "absent"


@pytest.mark.parametrize(("key", "how"), [("dice", BETTER), ("hd95", WORSE)])
def test_of_distances_the_shorter_one_is_better(key: str, how: str):
    assert METRICS[key].standing({"mean": 2.0, "low": 1.0, "high": 3.0}) == how
    assert METRICS[key].standing({"mean": 2.0, "low": -1.0, "high": 5.0}) == APART
