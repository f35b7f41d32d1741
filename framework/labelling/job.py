"""What a job is: from a corpus, and what else it reads, to a layer; and the life that all jobs share."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, NamedTuple

from pydantic import AfterValidator, ConfigDict, Field

from framework.cluster.resources import Needs, Processes
from framework.core.artifact import (
    ArtifactSpec,
    Input,
    Kind,
    add_file,
    finish,
    input_of,
    is_finished,
    read_record,
)
from framework.core.callbacks import OnProgress, silent
from framework.core.settings import PLACEMENT, Settings, digest, identity
from framework.core.storage import Store
from framework.corpus.sources.listing import Listing

if TYPE_CHECKING:
    from framework.corpus.layer_writer import LayerWriter
    from framework.corpus.map_layers import MapLayer
    from framework.corpus.reader import Corpus
    from framework.inference.predictor import ModelCard

Split = Literal["train", "val", "test"]


class JobConfig(Settings):
    """Base of a job's settings; the first sentence of a field's docstring is the help of its option."""

    model_config = ConfigDict(use_attribute_docstrings=True)
    error_budget: Annotated[float, PLACEMENT] = Field(default=0.01, ge=0, le=1)
    """Share of unusable rows over which the job gives up."""


def _rising(actors: int | tuple[int, int]) -> int | tuple[int, int]:
    least, most = actors if isinstance(actors, tuple) else (actors, actors)
    if not 1 <= least <= most:
        raise ValueError("a number from 1, or [MIN, MAX]")
    return actors


class StreamConfig(JobConfig, Needs):
    """Base of the settings of a job that Ray Data streams."""

    actors: Annotated[int | tuple[int, int], AfterValidator(_rising), PLACEMENT] = 1
    """Processes that do the work: a number, or [MIN, MAX] to grow with the cluster."""
    batch: Annotated[int, PLACEMENT] = Field(default=32, ge=1)
    """Images at once."""

    @property
    def pool(self) -> tuple[int, int]:
        """Fewest and most actors."""
        return self.actors if isinstance(self.actors, tuple) else (self.actors, self.actors)

    @property
    def processes(self) -> Processes:
        """The fewest actors with which the work begins, each with a processor for itself and its tasks."""
        return Processes(self.pool[0], self.owned(1), labels=self.labels)


class Source(NamedTuple):
    """Something that a job reads beside the corpus."""

    help: str
    stage: str | None
    """In a run of stages, the earlier one that makes it unless another is named; None: no stage makes it."""


class Job(ABC):
    """One file each, with a line in `registry.py`, or from another package by entry point `scantseg.jobs`.

    Command, stage and summary follow from what stands here. The command line reads the class for its help:
    therefore its module imports what is heavy (torch, Ray, pyarrow) in the methods that work.
    """

    name: ClassVar[str]
    """Name of its command and its stage."""
    Config: ClassVar[Any]
    """Its settings: a `JobConfig`, or a union of several that one of their fields tells apart."""
    artifact: ClassVar[str]
    """Name of its stage's artifact unless the stage has another."""
    kind: ClassVar[Kind] = "layer"
    measured: ClassVar[bool] = False
    """Whether its masks are compared with the corpus's; then its counts have `classes`."""
    reads: ClassVar[dict[str, Source]] = {}
    """What it reads beside the corpus, by the attribute that has it: `model`, `maps` or `folder`."""

    model: ModelCard
    maps: MapLayer
    folder: Store

    def __init__(self, config: Any, corpus: Corpus, sources: dict[str, str]) -> None:
        """Open what it reads; raises `CorpusError` for what is not there or not finished."""
        self.config, self.corpus = config, corpus
        self.inputs = {"corpus": Input(corpus.store.url, corpus.info.version)}
        for role, where in sources.items():
            opened, self.inputs[role] = _opened(role, where, corpus)
            setattr(self, role, opened)

    @abstractmethod
    def rows(self) -> list[str]:
        """Ids of the images that it makes rows for; raises `CorpusError` when there is none, `ConfigError`
        where what it reads does not fit."""

    @abstractmethod
    def write(self, layer: LayerWriter) -> int:
        """Write what is missing, by `stream` or `layer.write_masks`; gives how many of all rows are bad."""

    def counts(self, layer: LayerWriter) -> dict[str, Any]:
        """What else to record: the summary says numbers as "NUMBER KEY"; `rows` is how many have a label."""
        return {}


def make(
    job: type[Job],
    config: Any,
    corpus: str | Store,
    layer: str,
    on_progress: OnProgress = silent,
    **sources: str,
) -> Store:
    """Make a layer, or finish it, or recognise it; gives its folder.

    `layer` is its name beside the corpus, or a path; `sources` are what the job reads: the folder of a
    `model` or `folder`, the name or path of `maps`. Raises `CheckpointError` where another layer is,
    `CorpusError` when more rows are unusable than the error budget allows; the same call again continues.
    """
    from framework.corpus.label_layers import layer_store
    from framework.corpus.reader import Corpus

    begun = job(config, Corpus.open(corpus), sources)
    out = layer_store(begun.corpus.store, layer)
    spec = ArtifactSpec(job.kind, begun.inputs, identity(config), job.name)
    if not is_finished(out, spec):
        _work(begun, out, spec, on_progress)
    if job.measured:  # of a finished layer too: the run that made it may have died between the two
        from framework.labelling.quality import FILE as QUALITY
        from framework.labelling.quality import measure_layer

        if measure_layer(begun.corpus, out) and QUALITY not in read_record(out)["files"]:
            add_file(out, QUALITY)
    return out


def _work(job: Job, out: Store, spec: ArtifactSpec, on_progress: OnProgress) -> None:
    from framework.corpus.layer_writer import LayerWriter

    layer = LayerWriter(out, job.rows(), job.config.error_budget, on_progress)
    if "model" in job.reads:
        job.model.require_fits(job.corpus.info)
    layer.claim(spec)
    started = time.perf_counter()
    bad = job.write(layer)
    counts = {"rows": len(layer.names) - bad} | job.counts(layer) | {"quarantined": bad}
    finish(out, spec, counts, time.perf_counter() - started)


def _opened(role: str, where: str, corpus: Corpus) -> tuple[Any, Input]:
    """Something that a job reads, and its hash: of a folder names and sizes, and the pictures' bytes."""
    if role == "maps":
        from framework.corpus.map_layers import MapLayer

        maps = MapLayer.open(corpus, where)
        return maps, Input(maps.store.url, maps.artifact["hash"])
    store = Store.at(where)
    if role == "model":
        from framework.inference.predictor import ModelCard

        return ModelCard.open(store), input_of(store, "model")
    return store, Input(store.url, digest([store.sizes(), Listing.of(store).content()]))
