"""Dice, IoU, HD95 and ASD of one structure, in 2D and 3D, with an explicit policy for empty masks.

| truth   | prediction | state       | Dice, IoU | HD95, ASD                      |
| ------- | ---------- | ----------- | --------- | ------------------------------ |
| present | present    | both        | measured  | measured                       |
| present | empty      | missed      | 0         | diagonal of the image or volume |
| empty   | present    | false alarm | 0         | diagonal of the image or volume |
| empty   | empty      | absent      | 1         | 0                              |

No measured distance exceeds the diagonal, so a miss is never better than any prediction, and nothing is dropped as NaN.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

METRICS = ("dice", "iou", "hd95", "asd")

Mask = NDArray[np.bool_]
State = Literal["both", "missed", "false alarm", "absent"]


@dataclass(frozen=True)
class Score:
    """How well one structure was found: overlaps in 0..1, distances in the unit of the spacing, areas in pixels."""

    dice: float
    iou: float
    hd95: float
    asd: float
    truth: int
    predicted: int
    state: State


def score(
    truth: Mask, predicted: Mask, spacing: Sequence[float] | None = None, ignored: Mask | None = None
) -> Score:
    """All four metrics of one structure.

    `truth`, `predicted` and `ignored` are boolean `[H, W]` or `[D, H, W]`; `spacing` is the size of a pixel along each of
    these axes (mm), or None to measure in pixels. Pixels in `ignored` belong to neither mask.
    """
    assert truth.shape == predicted.shape, (
        f"truth {truth.shape} and prediction {predicted.shape} differ in shape"
    )
    spacing = (1.0,) * truth.ndim if spacing is None else spacing
    assert len(spacing) == truth.ndim, f"{len(spacing)} spacings for {truth.ndim} axes"
    if ignored is not None:
        truth, predicted = truth & ~ignored, predicted & ~ignored
    overlap, sizes = int((truth & predicted).sum()), (int(truth.sum()), int(predicted.sum()))
    state = state_of(*sizes)
    if state == "absent":
        return Score(1.0, 1.0, 0.0, 0.0, *sizes, state)
    if state != "both":
        far = diagonal(truth.shape, spacing)
        return Score(0.0, 0.0, far, far, *sizes, state)
    dice, iou = 2 * overlap / sum(sizes), overlap / (sum(sizes) - overlap)
    return Score(dice, iou, *boundary_distances(truth, predicted, spacing), *sizes, state)


def state_of(truth: int, predicted: int) -> State:
    """The row of the policy above that masks of `truth` and `predicted` pixels fall under."""
    if truth and predicted:
        return "both"
    if truth:
        return "missed"
    return "false alarm" if predicted else "absent"


def diagonal(shape: Sequence[int], spacing: Sequence[float]) -> float:
    """Corner to opposite corner of an image or volume, in the unit of `spacing`."""
    return float(np.linalg.norm(np.multiply(shape, spacing)))


def boundary_distances(truth: Mask, predicted: Mask, spacing: Sequence[float]) -> tuple[float, float]:
    """HD95 (the larger of the two directed 95th percentiles) and ASD (mean over both boundaries) of two non-empty masks."""
    box = ndimage.find_objects((truth | predicted).astype(np.uint8))[0]
    edges = boundary(truth[box]), boundary(predicted[box])
    there = distance_to(edges[1], spacing)[edges[0]]
    back = distance_to(edges[0], spacing)[edges[1]]
    hd95 = max(np.percentile(there, 95), np.percentile(back, 95))
    return float(hd95), float(np.concatenate([there, back]).mean())


def distance_to(mask: Mask, spacing: Sequence[float]) -> NDArray[np.float64]:
    """From every pixel to the nearest one of a non-empty mask, in the unit of `spacing`."""
    return np.asarray(ndimage.distance_transform_edt(~mask, sampling=spacing), np.float64)


def boundary(mask: Mask) -> Mask:
    """The pixels of a mask that have a face neighbour outside it; whatever lies beyond the image counts as outside."""
    return mask & ~np.asarray(ndimage.binary_erosion(mask), np.bool_)
