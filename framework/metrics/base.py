"""What a metric is: a class of one of three scopes, of cases, pooled or of whole images. With a line in
`registry.py`, tables, summary, terminal, comparison and report show it, with intervals by `bootstrap.py`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray

from framework.metrics.case_masks import CaseMasks

if TYPE_CHECKING:
    from torch import Tensor

BETTER, WORSE, APART = "better than", "worse than", "not to be told apart from"
Number = TypeVar("Number", float, "Tensor")
Numbers = NDArray[np.float64]


class Metric(ABC):
    """What metrics of all scopes say of themselves."""

    key: ClassVar[str]
    """Names it in files: a column, a key of `summary.json`."""
    name: ClassVar[str]
    about: ClassVar[str] = ""
    """A sentence that explains it in a report."""
    compared: ClassVar[bool] = False
    """Whether a comparison sets recipes side by side by it."""
    larger_is_better: ClassVar[bool] = True
    in_spacing: ClassVar[bool] = False
    """Whether it is a length in the unit of the spacing, mm or pixels."""
    decimals: ClassVar[int] = 3
    chance: ClassVar[float] = 0.0
    """Stands for a value that is not defined where validation must have a number."""
    parts: ClassVar[str]
    """What its mean is taken over."""
    undefined: ClassVar[str]
    """Says in a table why there is no value."""

    def head(self, unit: str = "") -> str:
        """Its name, with the unit of the spacing where it has one."""
        return f"{self.name} ({unit})" if self.in_spacing else self.name

    def number(self, value: float, sign: str = "") -> str:
        """A value with as many decimals as say something; `sign="+"` is for differences."""
        return f"{round(value, self.decimals) + 0.0:{sign}.{self.decimals}f}"  # no minus before a zero

    def standing(self, difference: Mapping[str, Any]) -> str:
        """What an interval of differences says of the first of two: better or worse than the other, or not
        to be told apart from it."""
        if difference["low"] <= 0 <= difference["high"]:
            return APART
        return BETTER if (difference["mean"] > 0) == self.larger_is_better else WORSE

    def text(self, interval: Mapping[str, Any] | None, sign: str = "") -> str:
        """`0.812 [0.790, 0.833]`."""
        if interval is None:
            return self.undefined
        mean, low, high = (self.number(interval[end], sign) for end in ("mean", "low", "high"))
        return f"{mean} [{low}, {high}]"


class CaseMetric(Metric):
    """A value of each case and structure, summarised by the mean over the cases that have the structure.

    | truth   | prediction | state       | value      | overlaps | distances | counts in the mean of    |
    | ------- | ---------- | ----------- | ---------- | -------- | --------- | ------------------------ |
    | present | present    | both        | `measured` |          |           | headline, selection, all |
    | present | empty      | missed      | `worst`    | 0        | diagonal  | headline, selection, all |
    | empty   | present    | false alarm | `worst`    | 0        | diagonal  | selection, all           |
    | empty   | empty      | absent      | none       | `absent` | `absent`  | all, as 1 or 0           |

    So a miss is never better than any prediction, and a model that finds nothing has the worst score there
    is. Whatever is chosen on validation images is chosen by the mean that false alarms lower (nnU-Net's
    convention); the mean over all cases is shown beside, because others publish it.
    """

    parts = "classes"
    undefined = "in no case"
    absent: ClassVar[float] = 1.0
    """Stands for a case with neither in the mean over all cases alone."""

    @abstractmethod
    def measured(self, masks: CaseMasks) -> float:
        """The value of two masks that are not empty."""

    def worst(self, masks: CaseMasks) -> float:
        """The value where one mask alone is empty: the worst there is."""
        return 0.0

    def value(self, masks: CaseMasks) -> float | None:
        """The value of any two masks; None where both are empty."""
        if masks.state == "both":
            return self.measured(masks)
        return None if masks.state == "absent" else self.worst(masks)


class OverlapMetric(CaseMetric):
    """A case metric that the masks' sizes determine: sums over slices give it, so validation has it too."""

    @abstractmethod
    def from_sizes(self, overlap: Number, predicted: Number, truth: Number) -> Number:
        """The value of two masks that are not empty, by their pixels: of one case, or tensors."""

    def measured(self, masks: CaseMasks) -> float:
        return self.from_sizes(masks.overlap, masks.predicted_pixels, masks.true_pixels)


class PooledMetric(Metric):
    """A value of each structure that may overlap with others, computed from a sum over all images."""

    parts = "lesions"
    undefined = "in no image"
    shape: ClassVar[tuple[int, ...]]
    """Shape of what an image contributes for one structure."""

    @abstractmethod
    def update(self, probability: Tensor, truth: Tensor, known: Tensor) -> Tensor:
        """What images contribute, `[K-1, *shape]`; contributions of images, ranks and resamples add up.

        `probability` `[K-1, ...]` is in 0..1, `truth` `[K-1, ...]` and `known` `[...]` are bool.
        """

    @abstractmethod
    def compute(self, sums: Numbers) -> Numbers:
        """The value `[...]` of (weighted) sums `[..., *shape]`; NaN where it is not defined."""


@dataclass(frozen=True, eq=False)
class Predictions:
    """The true classes `[N]` and probabilities `[N, C]` of N images; rows of weights `[R, N]` say how often
    every image counts."""

    truth: NDArray[np.int64]
    probability: Numbers
    weight: Numbers

    @cached_property
    def confusion(self) -> Numbers:
        """Weighted counts `[R, C, C]`: rows are the truth, columns the likeliest class."""
        count = self.probability.shape[1]
        cell = np.eye(count * count)[self.truth * count + self.probability.argmax(1)]
        return (self.weight @ cell).reshape(-1, count, count)


class ImageMetric(Metric):
    """A value of each target, by which whole images are classified."""

    parts = "targets"
    undefined = "one class only"

    @abstractmethod
    def compute(self, predictions: Predictions) -> Numbers:
        """The value `[R]` under each row of weights; NaN where it is not defined."""
