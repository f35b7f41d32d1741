"""What a job is: from a corpus, and what else it reads, to a layer; and the life that all jobs share."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, NamedTuple

from pydantic import ConfigDict, Field

from framework.core.artifact import ArtifactSpec, Input, Kind, finish, input_of, is_finished
from framework.core.callbacks import OnProgress, silent
from framework.core.settings import PLACEMENT, Settings, digest, identity
from framework.core.storage import Store

if TYPE_CHECKING:
    from framework.corpus.map_layers import MapLayer
    from framework.corpus.reader import Corpus
    from framework.inference.predictor import ModelCard

Split = Literal["train", "val", "test"]


class JobConfig(Settings):
    """Base of a job's settings; a field's docstring begins with the help of its option."""

    model_config = ConfigDict(use_attribute_docstrings=True)
    error_budget: Annotated[float, PLACEMENT] = Field(default=0.01, ge=0, le=1)
    """Share of unusable rows over which the job gives up."""


class StreamConfig(JobConfig):
    """Base of the settings of a job that Ray Data streams; what these are changes nothing that it writes."""

    actors: Annotated[int, PLACEMENT] = Field(default=1, ge=1)
    """Processes that do the work."""
    batch: Annotated[int, PLACEMENT] = Field(default=32, ge=1)
    """Images at once."""
    gpu: Annotated[bool, PLACEMENT] = False
    """One GPU per actor."""


class Source(NamedTuple):
    """Something that a job reads beside the corpus."""

    help: str
    stage: str | None
    """In a run of stages, the name of the earlier one that makes it, unless another is named; None: no stage does."""


class Job(ABC):
    """One file each, with a line in `registry.py`, or from another package by the entry point `scantseg.jobs`.

    Its command, its stage and its terminal summary follow from what stands here. The command line reads this class for its help,
    so that a job's module imports what is heavy (torch, Ray, pyarrow) in the methods that work.
    """

    name: ClassVar[str]
    """What its command and its stage are called."""
    Config: ClassVar[Any]
    """Its settings, a `JobConfig`, or a union of several that a field of theirs tells apart."""
    artifact: ClassVar[str]
    """What its stage's artifact is called unless the stage has another name."""
    kind: ClassVar[Kind] = "layer"
    reads: ClassVar[dict[str, Source]] = {}
    """By attribute, what it reads beside the corpus: `model`, `maps` or `folder`."""

    model: ModelCard
    maps: MapLayer
    folder: Store

    def __init__(self, config: Any, corpus: Corpus, sources: dict[str, str]) -> None:
        """Open what it reads; raises `CorpusError` for what is not there or not finished."""
        self.config, self.corpus = config, corpus
        for role, where in sources.items():
            setattr(self, role, _opened(role, where, corpus))

    def check(self) -> None:
        """Raise `ConfigError` or `CorpusError` where what it reads does not fit, before anything is written."""

    @abstractmethod
    def rows(self) -> list[str]:
        """Ids of the images that it makes rows for; raises `CorpusError` when there is none."""

    @abstractmethod
    def write(self, names: Sequence[str], out: Store, on_progress: OnProgress) -> int:
        """Write the rows that are not there yet, by `stream` or `write_masks`; gives how many of all are in quarantine."""

    def counts(self, names: Sequence[str], out: Store) -> dict[str, Any]:
        """What else to record. Numbers are said in the summary as "NUMBER KEY"; `rows` replaces how many rows were written."""
        return {}

    def follow(self, out: Store) -> None:
        """What comes after a finished layer; called for one that is recognised too, as the run that made it may have died."""


def make(
    job: type[Job],
    config: Any,
    corpus: str | Store,
    layer: str,
    on_progress: OnProgress = silent,
    **sources: str,
) -> Store:
    """Make a layer, or finish it, or recognise it; gives its folder.

    `layer` is its name beside the corpus, or a path; `sources` are the folders of `model` and `folder`, the name or path of `maps`.
    `on_progress` hears how many rows of how many are done. Raises `CheckpointError` where the folder holds another layer, and
    `CorpusError` when more rows are unusable than the error budget allows: what is done stays, the same call again continues.
    """
    from framework.corpus.label_layers import layer_store
    from framework.corpus.reader import Corpus

    begun = job(config, Corpus.open(corpus), sources)
    out = layer_store(begun.corpus.store, layer)
    spec = ArtifactSpec(job.kind, _inputs(begun), identity(config), job.name)
    if not is_finished(out, spec):
        _work(begun, out, spec, on_progress)
    begun.follow(out)
    return out


def _work(job: Job, out: Store, spec: ArtifactSpec, on_progress: OnProgress) -> None:
    from framework.corpus.layer_writer import claim

    job.check()
    names = job.rows()
    claim(out, spec)
    started = time.perf_counter()
    bad = job.write(names, out, on_progress)
    counts = {"rows": len(names) - bad} | job.counts(names, out) | {"quarantined": bad}
    finish(out, spec, counts, time.perf_counter() - started)


def _opened(role: str, where: str, corpus: Corpus) -> Any:
    if role == "maps":
        from framework.corpus.map_layers import MapLayer

        return MapLayer.open(corpus, where)
    if role == "model":
        from framework.inference.predictor import ModelCard

        return ModelCard.open(Store.at(where))
    return Store.at(where)


def _inputs(job: Job) -> dict[str, Input]:
    """What the layer is made from, by hash; of a folder the names and sizes of its files count."""
    inputs = {}
    for role in job.reads:
        if role == "maps":
            inputs[role] = Input(job.maps.store.url, job.maps.artifact["hash"])
        elif role == "model":
            inputs[role] = input_of(job.model.store, "model")
        else:
            inputs[role] = Input(job.folder.url, digest(job.folder.sizes()))
    return inputs | {"corpus": Input(job.corpus.store.url, job.corpus.info.version)}
