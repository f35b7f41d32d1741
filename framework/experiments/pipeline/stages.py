"""The stages a run may list, and where its corpus comes from. Each stage makes one artifact from those before it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from framework.core.settings import Settings
from framework.labelling.settings import (
    CamConfig,
    PseudoLabelConfig,
    SeedConfig,
    ThresholdConfig,
    WalkJobConfig,
)


class TrainStage(Settings):
    """Train with the run's description; `set` changes keys of it for this stage."""

    stage: Literal["train"]
    name: str = "model"
    layers: list[str] = []
    """Names of earlier stages whose label layers this one reads."""
    models: dict[str, str] = {}
    """For each role of a finished model that the method starts from, the name of the earlier stage that trains it."""
    set: dict[str, Any] = {}


class PseudoLabelStage(Settings):
    """Label what has no mask with the model of an earlier stage."""

    stage: Literal["pseudolabel"]
    name: str = "pseudo"
    model: str = "model"
    settings: PseudoLabelConfig = PseudoLabelConfig()


class CamStage(Settings):
    """Map where the classifier of an earlier stage sees its evidence."""

    stage: Literal["cam"]
    name: str = "maps"
    model: str = "model"
    settings: CamConfig


class SeedStage(Settings):
    """Keep what the maps of an earlier stage are sure of."""

    stage: Literal["seeds"]
    name: str = "seeds"
    maps: str = "maps"
    settings: SeedConfig = SeedConfig()


class WalkStage(Settings):
    """Carry the maps of an earlier stage up to the boundaries that the model of another finds."""

    stage: Literal["walk"]
    name: str = "walk"
    model: str = "boundaries"
    maps: str = "maps"
    settings: WalkJobConfig = WalkJobConfig()


class MaskStage(Settings):
    """Cut pseudo masks out of the maps of an earlier stage."""

    stage: Literal["masks"]
    name: str = "pseudo"
    maps: str = "walk"
    settings: ThresholdConfig = ThresholdConfig()


class EvaluateStage(Settings):
    """Score the model of an earlier stage."""

    stage: Literal["evaluate"]
    name: str = "evaluation"
    model: str = "model"
    split: Literal["train", "val", "test"] = "test"


class ReportStage(Settings):
    """One HTML file about all stages before it."""

    stage: Literal["report"]
    name: str = "report"


AnyStage = (
    TrainStage | PseudoLabelStage | CamStage | SeedStage | WalkStage | MaskStage | EvaluateStage | ReportStage
)
Stage = Annotated[AnyStage, Field(discriminator="stage")]


def default_stages() -> list[Any]:
    """Train, evaluate, report."""
    return [TrainStage(stage="train"), EvaluateStage(stage="evaluate"), ReportStage(stage="report")]
