"""A run of several stages: a training's description, where its corpus comes from, what is made in order."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field

from framework.core.config_files import load_yaml, override, parse
from framework.core.settings import PLACEMENT
from framework.experiments.pipeline.source import SourceConfig
from framework.experiments.pipeline.stages import Stage, default_stages
from framework.training.config import TrainConfig


class PipelineConfig(TrainConfig):
    """Everything that `scantseg run` needs."""

    source: Annotated[SourceConfig | None, PLACEMENT] = None
    """What the corpus is built from."""
    stages: Annotated[list[Stage], PLACEMENT] = Field(default_factory=default_stages)

    def training(self) -> TrainConfig:
        """What every training stage begins with."""
        return TrainConfig.model_validate(self.model_dump(exclude={"source", "stages"}))


def load_pipeline(path: str | Path, assignments: Sequence[str] = ()) -> PipelineConfig:
    """The run that a YAML file and overrides describe."""
    return parse(override(load_yaml(path), assignments), PipelineConfig, str(path))
