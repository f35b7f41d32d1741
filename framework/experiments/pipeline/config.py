"""A run of several stages: a training's description, where its corpus comes from, what is made in order."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from framework.core.config_files import load_yaml, override, parse
from framework.core.settings import PLACEMENT, Settings
from framework.experiments.pipeline.stages import Stage, default_stages
from framework.training.config import TrainConfig


class PhantomConfig(Settings):
    """The built-in phantom as a corpus."""

    images: int = Field(ge=1)
    size: int = Field(default=128, ge=32)
    seed: int = Field(default=0, ge=0, lt=2**63)


class FolderConfig(Settings):
    """A folder of images/, masks/ and labels.csv as a corpus."""

    path: str
    classes: list[str] | None = None
    encoding: Literal["ids", "bits"] = "ids"
    labels: list[str] | None = None
    mask_values: str = ""
    channels: Literal[1, 3] | None = None


class SourceConfig(Settings):
    """What `scantseg run` builds the corpus from when it is not there."""

    phantom: PhantomConfig | None = None
    folder: FolderConfig | None = None

    @model_validator(mode="after")
    def _one(self) -> SourceConfig:
        if (self.phantom is None) == (self.folder is None):
            raise ValueError("a source is either phantom or folder")
        return self


class PipelineConfig(TrainConfig):
    """Everything that `scantseg run` needs."""

    source: Annotated[SourceConfig | None, PLACEMENT] = None
    stages: Annotated[list[Stage], PLACEMENT] = Field(default_factory=default_stages)

    def training(self) -> TrainConfig:
        """What every training stage begins with."""
        return TrainConfig.model_validate(self.model_dump(exclude={"source", "stages"}))


def load_pipeline(path: str | Path, assignments: Sequence[str] = ()) -> PipelineConfig:
    """The run that a YAML file and overrides describe."""
    return parse(override(load_yaml(path), assignments), PipelineConfig, str(path))
