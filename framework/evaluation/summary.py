"""`summary.json`, all scores of an evaluation: its outer shape, by which whoever reads it knows it."""

from typing import Any

from pydantic import BaseModel, ConfigDict

from framework.core.artifact import read_part
from framework.core.storage import Store

FILE = "summary.json"
Scores = dict[str, dict[str, Any]]
"""By structure or target."""


class Summary(BaseModel):
    """What `summary.json` holds; of masks, of lesions that may overlap and of classes what was measured."""

    model_config = ConfigDict(extra="allow")
    split: str
    cases: int
    predictors: dict[str, Scores] = {}
    reference: Scores = {}
    pooled: Scores = {}
    targets: Scores = {}


def read_summary(evaluation: Store) -> dict[str, Any]:
    """The summary as it was written; raises `StorageError` where it is something else."""
    return read_part(evaluation, FILE, Summary).model_dump(exclude_unset=True)
