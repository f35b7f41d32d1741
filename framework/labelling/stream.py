"""A pass of Ray Data over the images of a corpus that writes a layer: decode, infer, encode as separate operators.

Each operator has its own processors. Every block ends as one Parquet part, written whole under a name made of its ids. A restart
reads which ids are there and leaves them out; a row that cannot be read becomes a part of the quarantine with its reason.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from framework.core.callbacks import OnProgress
from framework.core.errors import RowError
from framework.core.ray_runtime import Processes
from framework.core.storage import Store
from framework.corpus.layer_writer import (
    QUARANTINE_ROW,
    close_quarantine,
    finished_ids,
    over_budget,
    write_part,
)
from framework.corpus.reader import Corpus
from framework.imaging.decode import decode_image
from framework.labelling.settings import MapConfig

TASK_CPUS = 0.25
"""Of a decode or encode task: they share the processors with the networks, and a small cluster must not lock up."""

BYTES = 4
"""Of a value of a picture, float32."""

Row = Callable[[Any, int], dict[str, Any]]
"""From the batch that an actor gave to the layer's columns of its row number i, without the id; sent to other processes."""


@dataclass(frozen=True)
class MapJob:
    """What is done with each image."""

    size: int
    """Of the pictures that the actor gets, `[B, C, size, size]` float32, as `pixels` beside `id`."""
    actor: type
    """Holds a model. Called with a batch it gives it back with what it found instead of the pixels."""
    arguments: tuple[Any, ...]
    """What the actor is made with."""
    row: Row
    schema: pa.Schema


def run_job(
    job: MapJob, corpus: Corpus, names: list[str], out: Store, config: MapConfig, on_progress: OnProgress
) -> int:
    """Write the rows of `names` that are not there yet; gives how many of all are in quarantine.

    `on_progress` hears how many rows of how many are done. Raises `CorpusError` when more rows are unreadable than the error budget
    allows: what is done stays, and the same call again continues.
    """
    with out.lock():
        done = finished_ids(out)
        on_progress(len(done), len(names))
        if len(done) < len(names):
            _stream(
                job,
                corpus,
                frozenset(names) - done,
                out,
                config,
                lambda new: on_progress(len(done) + new, len(names)),
            )
        return close_quarantine(out, len(names), config.error_budget)


def _stream(
    job: MapJob,
    corpus: Corpus,
    wanted: frozenset[str],
    out: Store,
    config: MapConfig,
    on_progress: Callable[[int], None],
) -> None:
    import ray
    from ray.data import ActorPoolStrategy, DataContext

    from framework.core.ray_runtime import start_ray

    start_ray()
    context = DataContext.get_current()
    context.enable_progress_bars = False
    # A block is what goes from one operator to the next: at Ray's 128 MB a whole shard would wait for its last image.
    context.target_max_block_size = config.batch * corpus.info.channels * job.size**2 * BYTES
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    Processes(config.actors, gpu=config.gpu).require("actors")
    paths = [corpus.store.path(name) for name in corpus.info.shards]
    stream = (
        ray.data.read_parquet(
            paths, columns=["id", "image"], filesystem=corpus.store.filesystem, num_cpus=TASK_CPUS
        )
        .map_batches(
            Decode(ray.put(wanted), corpus.info.channels, job.size),
            batch_size=config.batch,
            num_cpus=TASK_CPUS,
        )
        .map_batches(
            job.actor,
            fn_constructor_args=job.arguments,
            batch_size=config.batch,
            compute=ActorPoolStrategy(size=config.actors),
            num_cpus=1 - TASK_CPUS,
            num_gpus=1 if config.gpu else 0,
        )
        .map_batches(Encode(out, job.row, job.schema), batch_size=config.batch, num_cpus=TASK_CPUS)
    )
    good = bad = 0
    batch: Any
    for batch in stream.iter_batches(batch_size=None):
        good, bad = good + int(batch["good"].sum()), bad + int(batch["bad"].sum())
        on_progress(good + bad)
        if bad > config.error_budget * len(wanted) + 1:
            raise over_budget(out, len(wanted), config.error_budget)


@dataclass(frozen=True)
class Decode:
    """Operator 1: bytes to pictures at the network's size. Rows that are not wanted fall out here."""

    wanted: Any
    """Object reference to a frozenset of ids."""
    channels: Any
    size: int

    def __call__(self, batch: Any) -> Any:
        import ray

        from framework.imaging.resize import resize_image

        wanted = ray.get(self.wanted)
        rows: list[dict[str, Any]] = []
        for name, data in zip(batch["id"], batch["image"], strict=True):
            if name not in wanted:
                continue
            try:
                image = decode_image(bytes(data), self.channels)
                pixels, reason, shape = resize_image(image, self.size).astype(np.float32), "", image.shape[:2]
            except RowError as error:
                pixels, reason, shape = (
                    np.zeros((self.channels, self.size, self.size), np.float32),
                    str(error),
                    (1, 1),
                )
            rows.append({"id": name, "pixels": pixels, "reason": reason, "shape": shape})
        return {
            "id": np.array([row["id"] for row in rows], object),
            "pixels": np.array([row["pixels"] for row in rows], np.float32).reshape(
                -1, self.channels, self.size, self.size
            ),
            "reason": np.array([row["reason"] for row in rows], object),
            "shape": np.array([row["shape"] for row in rows], np.int32).reshape(-1, 2),
        }


@dataclass(frozen=True)
class Encode:
    """Operator 3: what the actor found to rows of the layer, written as one part; gives counts."""

    out: Store
    row: Row
    schema: pa.Schema

    def __call__(self, batch: Any) -> Any:
        good, bad = [], []
        for i, name in enumerate(batch["id"]):
            if batch["reason"][i]:
                bad.append({"id": name, "reason": batch["reason"][i]})
            else:
                good.append({"id": name, **self.row(batch, i)})
        write_part(self.out, "rows", good, self.schema)
        write_part(self.out, "quarantined", bad, QUARANTINE_ROW)
        return {"good": np.array([len(good)]), "bad": np.array([len(bad)])}
