"""The masks of one structure in one case, with what several metrics need of them, computed once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Mask = NDArray[np.bool_]
Distances = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class CaseMasks:
    """`truth` and `predicted` are `[H, W]` or `[D, H, W]`, `spacing` is a pixel's size along the axes."""

    truth: Mask
    predicted: Mask
    spacing: Sequence[float]

    @classmethod
    def of(
        cls, truth: Mask, predicted: Mask, spacing: Sequence[float] | None = None, ignored: Mask | None = None
    ) -> CaseMasks:
        """Spacing in mm, or None to measure in pixels; pixels in `ignored` belong to neither mask."""
        assert truth.shape == predicted.shape, f"truth {truth.shape}, prediction {predicted.shape}"
        assert spacing is None or len(spacing) == truth.ndim, f"{spacing} for {truth.ndim} axes"
        if ignored is not None:
            truth, predicted = truth & ~ignored, predicted & ~ignored
        return cls(truth, predicted, (1.0,) * truth.ndim if spacing is None else spacing)

    @cached_property
    def true_pixels(self) -> int:
        return int(self.truth.sum())

    @cached_property
    def predicted_pixels(self) -> int:
        return int(self.predicted.sum())

    @cached_property
    def overlap(self) -> int:
        """Pixels that both masks have."""
        return int((self.truth & self.predicted).sum())

    @property
    def state(self) -> Literal["both", "missed", "false alarm", "absent"]:
        if self.true_pixels:
            return "both" if self.predicted_pixels else "missed"
        return "false alarm" if self.predicted_pixels else "absent"

    @property
    def diagonal(self) -> float:
        """Corner to opposite corner, in the unit of the spacing: no distance is longer."""
        return float(np.linalg.norm(np.multiply(self.truth.shape, self.spacing)))

    @cached_property
    def boundary_distances(self) -> tuple[Distances, Distances]:
        """From each boundary pixel of the truth to the prediction's boundary, and back; neither is empty."""
        box = ndimage.find_objects((self.truth | self.predicted).astype(np.uint8))[0]
        truth, predicted = _boundary(self.truth[box]), _boundary(self.predicted[box])
        to_truth, to_predicted = (
            np.asarray(ndimage.distance_transform_edt(~mask, sampling=self.spacing))
            for mask in (truth, predicted)
        )
        return to_predicted[truth], to_truth[predicted]


def _boundary(mask: Mask) -> Mask:
    """Pixels of a mask with a face neighbour outside it; what lies beyond the image counts as outside."""
    return mask & ~np.asarray(ndimage.binary_erosion(mask), np.bool_)
