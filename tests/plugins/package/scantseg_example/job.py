"""Labels by brightness alone."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from framework.labelling.job import Job, JobConfig


class Bright(Job):
    """Take what is brighter than a level for the first structure."""

    class Config(JobConfig):
        """Where to cut."""

        level: int = Field(default=128, ge=0, le=255)
        """Grey level that a pixel must exceed."""

    name = "bright"
    artifact = "bright"

    def rows(self) -> list[str]:
        return self.corpus.ids("train")

    def write(self, layer: Any) -> int:
        return layer.write_masks("pseudo", self._mask)

    def _mask(self, name: str) -> Any:
        return (self.corpus.image(name).max(-1) > self.config.level).astype("uint8")

    def counts(self, layer: Any) -> dict[str, Any]:
        return {"the level": self.config.level}
