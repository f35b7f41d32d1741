"""How a model labels what has no mask."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class PseudoLabelConfig(BaseModel):
    """Settings of the pseudo-label job; only `confidence` changes what it writes."""

    model_config = ConfigDict(extra="forbid")
    confidence: float = Field(default=0.5, ge=0, le=1)
    """Pixels whose largest probability is lower claim nothing (255)."""
    actors: int = Field(default=1, ge=1)
    """Processes that hold the model."""
    batch: int = Field(default=32, ge=1)
    gpu: bool = False
    error_budget: float = Field(default=0.01, ge=0, le=1)
    """Share of unreadable rows over which the job gives up."""
