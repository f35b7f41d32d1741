"""The stages that a run may list, each for one artifact: training, every job, evaluation, report."""

from typing import TYPE_CHECKING, Annotated, Any, Literal, Union

from pydantic import Field, create_model

from framework.core.config_faults import models_of
from framework.core.names import Name
from framework.core.settings import Settings
from framework.labelling.job import Job
from framework.labelling.registry import JOBS


class TrainStage(Settings):
    """Train with the run's description; `set` changes keys of it for this stage."""

    stage: Literal["train"]
    name: Name = "model"
    layers: list[str] = []
    """Names of earlier stages whose label layers this one reads."""
    models: dict[str, str] = {}
    """By role of a finished model that the method starts from, the earlier stage that trains it."""
    set: dict[str, Any] = {}


class EvaluateStage(Settings):
    """Score the model of an earlier stage."""

    stage: Literal["evaluate"]
    name: Name = "evaluation"
    model: str = "model"
    split: Literal["train", "val", "test"] = "test"


class ReportStage(Settings):
    """One HTML file about all stages before it."""

    stage: Literal["report"]
    name: Name = "report"


def job_stage(job: type[Job]) -> type[Settings]:
    """The stage of a job: its name, what it reads, and its settings, required where one of them is."""
    models = models_of(job.Config)
    free = len(models) == 1 and not any(info.is_required() for info in models[0].model_fields.values())
    fields: dict[str, Any] = {
        "stage": (Literal[job.name], ...),
        "name": (Name, job.artifact),
        **{role: (str, source.stage or ...) for role, source in job.reads.items()},
        "settings": (job.Config, models[0]() if free else ...),
    }
    return create_model(f"{job.__name__}Stage", __base__=Settings, __doc__=job.__doc__, **fields)


def any_stage() -> Any:
    """The union of all stages, those of the registry's jobs among them."""
    kinds = (TrainStage, *map(job_stage, JOBS.values()), EvaluateStage, ReportStage)
    return Annotated[Union[kinds], Field(discriminator="stage")]


if TYPE_CHECKING:
    Stage = Any
else:
    Stage = any_stage()


def default_stages() -> list[Any]:
    """Train, evaluate, report."""
    return [TrainStage(stage="train"), EvaluateStage(stage="evaluate"), ReportStage(stage="report")]
