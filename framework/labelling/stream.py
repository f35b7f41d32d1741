"""A pass of Ray Data over the images of a corpus that writes a layer: decode, infer, encode.

Each has its own processors. A block ends as one Parquet part; a restart leaves out the ids that are there, as
does a pass that begins again where a host was lost and Ray Data does not go on.
"""

import logging
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from framework.cluster.resources import wait_for_room
from framework.core.artifact import FILE, Input, read_record
from framework.core.errors import RowError
from framework.core.lock import lock
from framework.core.ray_runtime import end_ray, start_ray
from framework.core.storage import Store
from framework.core.waiting import say
from framework.corpus.layer_writer import LayerWriter, finished_ids, write_part
from framework.corpus.quarantine import QUARANTINE_ROW
from framework.corpus.reader import Corpus
from framework.imaging.decode import decode_image
from framework.imaging.resize import resize_image
from framework.labelling.job import StreamConfig
from framework.labelling.nodes import require_shared_by_nodes
from framework.labelling.watched import STALLED_S, HostLost, watched
from framework.training.shared import marked

TASK_CPUS = 0.25
"""Processors of a decode or encode task, which runs beside networks: a small cluster must not lock up."""

Row = Callable[[Any, int], dict[str, Any]]
"""From an actor's batch to the layer's columns of its row i, without the id; sent to other processes."""


@dataclass(frozen=True)
class Pass:
    """What is done with each image."""

    size: int
    """Side of the pictures that the actor gets, `[B, C, size, size]` float32, as `pixels` beside `id`."""
    actor: type
    """Holds a model. Called with a batch it gives it back with what it made in place of the pixels."""
    arguments: tuple[Any, ...]
    row: Row
    schema: pa.Schema


def stream(work: Pass, corpus: Corpus, layer: LayerWriter, config: StreamConfig) -> int:
    """Write the rows of a layer that are not there yet; gives how many of all are in quarantine.

    Raises `CorpusError` when more rows are unreadable than the error budget allows.
    """
    with lock(layer.out):
        while missing := frozenset(layer.names) - finished_ids(layer.out):
            try:
                _pass(work, corpus, layer, config, missing)
                break
            except HostLost:
                say(f"host lost, and nothing came for {STALLED_S:.0f} s: begins again with what is missing")
                end_ray()  # and with it all that the pass has at work
        return layer.close()


def _pass(
    work: Pass, corpus: Corpus, layer: LayerWriter, config: StreamConfig, missing: frozenset[str]
) -> None:
    done, bad = len(layer.names) - len(missing), 0
    layer.on_progress(done, len(layer.names))
    with marked(layer.out, word := uuid.uuid4().hex):
        for batch in watched(_batches(work, corpus, missing, layer.out, word, config)):
            done, bad = done + int(batch["rows"].sum()), bad + int(batch["bad"].sum())
            layer.on_progress(done, len(layer.names))
            if bad > config.error_budget * len(missing) + 1:
                raise layer.over_budget()


def _batches(
    work: Pass, corpus: Corpus, wanted: frozenset[str], out: Store, word: str, config: StreamConfig
) -> Any:
    import ray
    from ray.data import ActorPoolStrategy, DataContext

    start_ray()
    context = DataContext.get_current()
    context.enable_progress_bars = False
    # A block goes from one operator to the next: at Ray's 128 MB a whole shard would wait for its last image.
    context.target_max_block_size = config.batch * corpus.info.channels * work.size**2 * 4  # bytes of float32
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    wait_for_room(config.processes, "actors", config.wait_minutes)
    require_shared_by_nodes(out, word, _inputs(work, corpus))
    least, most = config.pool
    own = {kind: each for kind, each in config.processes.resources.items() if kind not in ("CPU", "GPU")}
    decode = Decode(ray.put(wanted), corpus.info.channels, work.size)
    encode = Encode(out, work.row, work.schema)
    shards, files = [corpus.store.path(name) for name in corpus.info.shards], corpus.store.filesystem
    return (
        ray.data.read_parquet(shards, columns=["id", "image"], filesystem=files, num_cpus=TASK_CPUS)
        .map_batches(decode, batch_size=config.batch, num_cpus=TASK_CPUS)
        .map_batches(
            work.actor,
            fn_constructor_args=work.arguments,
            batch_size=config.batch,
            compute=ActorPoolStrategy(min_size=least, max_size=most),
            num_cpus=1 - TASK_CPUS,
            num_gpus=config.gpu,
            resources=own,
            label_selector=config.labels or None,
        )
        .map_batches(encode, batch_size=config.batch, num_cpus=TASK_CPUS)
        .iter_batches(batch_size=None)
    )


def _inputs(work: Pass, corpus: Corpus) -> dict[str, Input]:
    """The corpus, and the models among the arguments of the actor."""
    models = [each for each in work.arguments if isinstance(each, str) and Store(each).exists(FILE)]
    inputs = {url: Input(url, read_record(Store(url))["hash"]) for url in models}
    return inputs | {"corpus": Input(corpus.store.url, corpus.info.version)}


@dataclass(frozen=True)
class Decode:
    """Operator 1: bytes to pictures at the network's size. Rows that are not wanted fall out here."""

    wanted: Any  # an object reference to a frozenset of ids
    channels: Any
    size: int

    def __call__(self, batch: Any) -> Any:
        import ray

        wanted = ray.get(self.wanted)
        encoded = zip(batch["id"], batch["image"], strict=True)
        rows = [(name, *self._decoded(bytes(data))) for name, data in encoded if name in wanted]
        ids, pixels, reasons, shapes = zip(*rows, strict=True) if rows else ([], [], [], [])
        return {
            "id": np.array(ids, object),
            "pixels": np.array(pixels, np.float32).reshape(-1, self.channels, self.size, self.size),
            "reason": np.array(reasons, object),
            "shape": np.array(shapes, np.int32).reshape(-1, 2),
        }

    def _decoded(self, data: bytes) -> tuple[np.ndarray, str, tuple[int, ...]]:
        """The picture, why there is none (or ""), and its own height and width."""
        try:
            image = decode_image(data, self.channels)
            return resize_image(image, self.size).astype(np.float32), "", image.shape[:2]
        except RowError as error:
            return np.zeros((self.channels, self.size, self.size), np.float32), str(error), (1, 1)


@dataclass(frozen=True)
class Encode:
    """Operator 3: what the actor made to rows of the layer, written as one part; gives counts."""

    out: Store
    row: Row
    schema: pa.Schema

    def __call__(self, batch: Any) -> Any:
        rows = list(enumerate(zip(batch["id"], batch["reason"], strict=True)))
        bad = [{"id": name, "reason": reason} for _, (name, reason) in rows if reason]
        good = [{"id": name, **self.row(batch, i)} for i, (name, reason) in rows if not reason]
        write_part(self.out, "rows", good, self.schema)
        write_part(self.out, "quarantined", bad, QUARANTINE_ROW)
        return {"rows": np.array([len(good) + len(bad)]), "bad": np.array([len(bad)])}
