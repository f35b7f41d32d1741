"""The stages a run may list, and where its corpus comes from. Each stage makes one artefact from those before it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from framework.inference.settings import CamConfig, PseudoLabelConfig, SeedConfig, ThresholdConfig, WalkJobConfig


class PhantomConfig(BaseModel):
    """The built-in phantom as a corpus."""

    model_config = ConfigDict(extra="forbid")
    images: int = Field(ge=1)
    size: int = Field(default=128, ge=32)
    seed: int = Field(default=0, ge=0, lt=2**63)


class FolderConfig(BaseModel):
    """A folder of images/, masks/ and labels.csv as a corpus."""

    model_config = ConfigDict(extra="forbid")
    path: str
    classes: list[str] | None = None
    encoding: Literal["ids", "bits"] = "ids"
    labels: list[str] | None = None


class SourceConfig(BaseModel):
    """What `scantseg run` builds the corpus from when it is not there."""

    model_config = ConfigDict(extra="forbid")
    phantom: PhantomConfig | None = None
    folder: FolderConfig | None = None

    @model_validator(mode="after")
    def _one(self) -> SourceConfig:
        if (self.phantom is None) == (self.folder is None):
            raise ValueError("a source is either phantom or folder")
        return self


class TrainStage(BaseModel):
    """Train with the run's description; `set` changes keys of it for this stage."""

    model_config = ConfigDict(extra="forbid")
    stage: Literal["train"]
    name: str = "model"
    layers: list[str] = []
    """Names of earlier stages whose label layers this one reads."""
    models: dict[str, str] = {}
    """For each role of a finished model that the method starts from, the name of the earlier stage that trains it."""
    set: dict[str, Any] = {}


class PseudoLabelStage(BaseModel):
    """Label what has no mask with the model of an earlier stage."""

    model_config = ConfigDict(extra="forbid")
    stage: Literal["pseudolabel"]
    name: str = "pseudo"
    model: str = "model"
    settings: PseudoLabelConfig = PseudoLabelConfig()


class CamStage(BaseModel):
    """Map where the classifier of an earlier stage sees its evidence."""

    model_config = ConfigDict(extra="forbid")
    stage: Literal["cam"]
    name: str = "maps"
    model: str = "model"
    settings: CamConfig


class SeedStage(BaseModel):
    """Keep what the maps of an earlier stage are sure of."""

    model_config = ConfigDict(extra="forbid")
    stage: Literal["seeds"]
    name: str = "seeds"
    maps: str = "maps"
    settings: SeedConfig = SeedConfig()


class WalkStage(BaseModel):
    """Carry the maps of an earlier stage up to the boundaries that the model of another finds."""

    model_config = ConfigDict(extra="forbid")
    stage: Literal["walk"]
    name: str = "walk"
    model: str = "boundaries"
    maps: str = "maps"
    settings: WalkJobConfig = WalkJobConfig()


class MaskStage(BaseModel):
    """Cut pseudo masks out of the maps of an earlier stage."""

    model_config = ConfigDict(extra="forbid")
    stage: Literal["masks"]
    name: str = "pseudo"
    maps: str = "walk"
    settings: ThresholdConfig = ThresholdConfig()


class EvaluateStage(BaseModel):
    """Score the model of an earlier stage."""

    model_config = ConfigDict(extra="forbid")
    stage: Literal["evaluate"]
    name: str = "evaluation"
    model: str = "model"
    split: Literal["train", "val", "test"] = "test"


class ReportStage(BaseModel):
    """One HTML file about all stages before it."""

    model_config = ConfigDict(extra="forbid")
    stage: Literal["report"]
    name: str = "report"


AnyStage = TrainStage | PseudoLabelStage | CamStage | SeedStage | WalkStage | MaskStage | EvaluateStage | ReportStage
Stage = Annotated[AnyStage, Field(discriminator="stage")]


def default_stages() -> list[Any]:
    """Train, evaluate, report."""
    return [TrainStage(stage="train"), EvaluateStage(stage="evaluate"), ReportStage(stage="report")]
