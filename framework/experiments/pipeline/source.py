"""Where a run's corpus comes from."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from framework.core.settings import Settings


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


class SourceConfig(Settings):
    """What `scantseg run` builds the corpus from when it is not there."""

    phantom: PhantomConfig | None = None
    folder: FolderConfig | None = None

    @model_validator(mode="after")
    def _one(self) -> SourceConfig:
        if (self.phantom is None) == (self.folder is None):
            raise ValueError("a source is either phantom or folder")
        return self
