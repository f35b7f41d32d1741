"""HD95 and ASD: how far apart the boundaries of two masks are, in the unit of the spacing."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from framework.metrics.base import CaseMetric
from framework.metrics.case_masks import CaseMasks


class BoundaryDistance(CaseMetric):
    """No measured distance exceeds the diagonal of the image or volume, which stands for a miss."""

    larger_is_better, in_spacing, absent = False, True, 0.0

    def worst(self, masks: CaseMasks) -> float:
        return masks.diagonal

    def text(self, interval: Mapping[str, Any] | None, sign: str = "") -> str:
        """With the number of missed cases that are in it as their diagonal."""
        missed = (interval or {}).get("missed")
        return super().text(interval, sign) + (f" ({missed} missed at the diagonal)" if missed else "")


class HD95(BoundaryDistance):
    """95th percentile of the Hausdorff distance."""

    key, name, decimals = "hd95", "HD95", 1
    about = "HD95 is the larger of the two directed 95th percentiles of distances between the boundaries."

    def measured(self, masks: CaseMasks) -> float:
        return float(max(np.percentile(distances, 95) for distances in masks.boundary_distances))


class ASD(BoundaryDistance):
    """Average symmetric surface distance."""

    key, name, decimals = "asd", "ASD", 2
    about = "ASD is the mean of the distances in both directions."

    def measured(self, masks: CaseMasks) -> float:
        return float(np.concatenate(masks.boundary_distances).mean())
