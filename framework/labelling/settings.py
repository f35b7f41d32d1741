"""How models and maps are turned into layers."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from framework.core.settings import Settings
from framework.labelling.seeds.crf import CrfConfig
from framework.labelling.walk.walk import WalkConfig


class MapConfig(Settings):
    """Settings of every pass over a corpus; none of them changes what it writes."""

    actors: int = Field(default=1, ge=1)
    """Processes that hold the model."""
    batch: int = Field(default=32, ge=1)
    gpu: bool = False
    error_budget: float = Field(default=0.01, ge=0, le=1)
    """Share of unreadable rows over which the job gives up."""


class PseudoLabelConfig(MapConfig):
    """How masks are made for images that have none."""

    confidence: float = Field(default=0.5, ge=0, le=1)
    """Pixels whose largest probability is lower claim nothing (255)."""


class CamConfig(MapConfig):
    """How maps of evidence are made from a classifier."""

    shows: dict[str, tuple[str, str]] = Field(min_length=1)
    """For each class of the masks, a target of the classifier and the class of it that means it is there."""
    kind: Literal["grad-cam++", "grad-cam", "cam"] = "grad-cam++"
    scales: list[float] = Field(default=[1.0, 0.5, 0.75, 2.0], min_length=1)
    """Sizes of the image, relative to the classifier's, whose maps are added."""
    flip: bool = True
    """Add the maps of the mirrored image."""
    splits: list[Literal["train", "val", "test"]] = Field(default=["train"], min_length=1)


class SeedConfig(MapConfig):
    """How confident seeds are made from maps of evidence (methods/README 2.4)."""

    size: int = Field(default=96, ge=16, le=160)
    """Pixels a side of the picture on which they are found; IRNet reads them on a grid of a quarter of its own size."""
    foreground: float = Field(default=0.3, ge=0, le=1)
    """What exceeds this and the other classes is the class."""
    background: float = Field(default=0.05, ge=0, le=1)
    """What no class exceeds is background; between the two nothing is claimed."""
    crf: CrfConfig | None = CrfConfig()
    """Fits both to the picture; none: the thresholds alone."""


class WalkJobConfig(MapConfig):
    """How evidence is carried up to the boundaries that IRNet finds."""

    walk: WalkConfig = WalkConfig()


class ThresholdConfig(Settings):
    """How masks are cut out of maps."""

    threshold: float = Field(default=0.3, ge=0, le=1)
    """A pixel is of its strongest class when that exceeds this."""
    background: float | None = Field(default=None, ge=0, le=1)
    """What no class exceeds is background; between the two nothing is claimed. None: all else is background."""
    max_components: int | None = Field(default=None, ge=1)
    """An image of a class in more connected parts has no mask: evidence that is scattered is seldom right. None: any number."""
    splits: list[Literal["train", "val", "test"]] = Field(default=["train"], min_length=1)
    error_budget: float = Field(default=0.01, ge=0, le=1)
    """Share of unusable rows over which the job gives up."""
