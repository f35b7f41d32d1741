"""Layers of soft maps: how much speaks for a class at each place of an image, in 0..1."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
import pyarrow as pa

from framework.core.storage import Store
from framework.corpus.label_layers import finished_record, layer_store
from framework.corpus.reader import Corpus, ShardReader
from framework.imaging.decode import decode_image, encode_png

MAP_ROW = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("classes", pa.list_(pa.int32()), nullable=False),  # class ids that have a map
        pa.field("maps", pa.binary()),  # PNG of the maps below each other, 255 = 1; none for no class
    ]
)


def encode_maps(maps: Mapping[int, np.ndarray]) -> dict[str, object]:
    """The columns of one image's maps `[h, w]`, all of one size, by class id; values in 0..1 keep 1/255."""
    if not maps:
        return {"classes": [], "maps": None}
    stacked = np.concatenate(list(maps.values()))
    png = encode_png((stacked * 255).round().astype(np.uint8), compress_level=6)
    return {"classes": list(maps), "maps": png}


@dataclass(frozen=True)
class MapsRow:
    """Batches of maps `[B, K, h, w]`, and which of them are there `[B, K]`, to the columns of image i."""

    class_ids: list[int]

    def __call__(self, batch: Any, i: int) -> dict[str, Any]:
        rows = zip(self.class_ids, batch["maps"][i], batch["there"][i], strict=True)
        return encode_maps({class_id: values for class_id, values, there in rows if there})


class MapLayer:
    """A finished layer of maps."""

    def __init__(self, store: Store, corpus: Corpus) -> None:
        self.store = store
        self.artifact = finished_record(store, corpus, "map layer", "`scantseg cam`")
        self._reader = ShardReader(store, store.names("rows-"), ["id", "classes"], ["classes", "maps"])

    @classmethod
    def open(cls, corpus: Corpus, name: str) -> Self:
        return cls(layer_store(corpus.store, name), corpus)

    def __contains__(self, name: str) -> bool:
        return name in self._reader

    @cached_property
    def classes(self) -> dict[str, list[int]]:
        """The class ids that have a map, by image id."""
        return dict(zip(*self._reader.index.values(), strict=True))

    def maps(self, name: str) -> dict[int, np.ndarray]:
        """The maps `[h, w]` float32 in 0..1 of one image, by class id."""
        row = self._reader.row(name)
        if not row["classes"]:
            return {}
        with self._reader.explained(name):
            stacked = decode_image(row["maps"], channels=1)[..., 0].astype(np.float32) / 255
        return dict(zip(row["classes"], np.split(stacked, len(row["classes"])), strict=True))
