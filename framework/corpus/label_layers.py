"""Label layers: masks made later, keyed by image id, beside the corpus. Nothing is ever overwritten."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any, Self

import numpy as np
import pyarrow as pa

from framework.core.artifact import read_record
from framework.core.errors import ConfigError, CorpusError, nearest
from framework.core.names import require_name
from framework.core.storage import Store
from framework.corpus.reader import Corpus, ShardReader
from framework.corpus.schema import LAYER_COMMANDS, NO_MASK
from framework.imaging.decode import decode_mask

LAYER_ROW = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("mask", pa.binary()),  # PNG of class ids, 255 where nothing is claimed
        pa.field("kind", pa.string(), nullable=False),
        pa.field("confidence", pa.float32()),  # mean over pixels of the largest probability
        pa.field("kept", pa.float32()),  # share of pixels that are claimed, 0..1
        pa.field("predicted_pixels", pa.list_(pa.int64())),  # by class, before the confidence cut
        pa.field("kept_pixels", pa.list_(pa.int64())),  # by class, after it
    ]
)


def layer_store(corpus: Store, name: str) -> Store:
    """Where a layer lies: beside its corpus, unless its name is itself a path, with a slash in it.

    Raises `ConfigError` for a name that would lead out of its folder.
    """
    if "/" in name:
        return Store.at(name)
    try:
        return corpus / "layers" / require_name(name)
    except ValueError as error:
        raise ConfigError(f"layer {name!r:.60}: {error}; a path has a slash in it") from None


def finished_record(store: Store, corpus: Corpus, kind: str, command: str) -> dict[str, Any]:
    """A layer's `artifact.json`; raises `CorpusError` where `command` has made none for this corpus."""
    if not store.exists("artifact.json"):
        known = nearest(store.name, (corpus.store / "layers").names())
        fault = f"of corpus '{corpus.info.name}' is not there or not finished{known}"
        raise CorpusError(f"{kind} '{store.name}' {fault}; make one with {command}")
    record = read_record(store)
    if record["kind"] != kind:
        raise CorpusError(f"{store.url}: holds a {record['kind']}, not a {kind}; check the name")
    made_for = record["inputs"]["corpus"]["hash"]
    if made_for != corpus.info.version:
        other = f"was made for corpus version {made_for}, and this is {corpus.info.version}"
        raise CorpusError(f"{kind} '{store.name}' {other}; make it again, with {command}")
    return record


class Layer:
    """A finished layer."""

    def __init__(self, store: Store, corpus: Corpus) -> None:
        self.store = store
        self.artifact = finished_record(store, corpus, "layer", LAYER_COMMANDS)
        if self.artifact["counts"].get("masks") == 0:
            fault = "holds a weight for each image and no masks"
            raise CorpusError(f"layer '{store.name}' {fault}; name a layer of masks")
        self._reader = ShardReader(store, store.names("rows-"), ["id", "kind", "kept_pixels"], ["mask"])
        self._classes = len(corpus.info.classes)

    @classmethod
    def open(cls, corpus: Corpus, name: str) -> Self:
        return cls(layer_store(corpus.store, name), corpus)

    def __contains__(self, name: str) -> bool:
        return name in self._reader

    @cached_property
    def kinds(self) -> dict[str, str]:
        """Kind of label by image id, of the images that have one; a row of seeds may hold none."""
        rows = zip(self._reader.index["id"], self._reader.index["kind"], strict=True)
        return {name: kind for name, kind in rows if kind != NO_MASK}

    @cached_property
    def class_pixels(self) -> dict[str, list[int] | None]:
        """Pixels of each class by image id; None where nobody counted them."""
        return dict(zip(self._reader.index["id"], self._reader.index["kept_pixels"], strict=True))

    def mask(self, name: str, shape: Sequence[int]) -> np.ndarray:
        """The mask `[H, W]` as class ids, 255 where nothing is claimed."""
        with self._reader.explained(name):
            return decode_mask(self._reader.row(name)["mask"], (shape[0], shape[1]), self._classes, "ids")
