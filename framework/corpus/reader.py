"""Read a corpus or a layer: the light columns at once, images and masks by id or as a stream."""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from framework.core.errors import CorpusError, StorageError
from framework.core.labels import IGNORE
from framework.core.storage import Store
from framework.corpus.schema import INDEX_COLUMNS, CorpusInfo
from framework.imaging.decode import decode_image, decode_mask, flatten_bits


class ShardReader:
    """Rows of Parquet shards by id. Holds where each id lies and the last few row groups, nothing else."""

    def __init__(
        self, store: Store, files: Sequence[str], light: Sequence[str], heavy: Sequence[str]
    ) -> None:
        self.store, self.files, self.heavy = store, list(files), list(heavy)
        self._groups: OrderedDict[tuple[int, int], pa.Table] = OrderedDict()
        self._lock = threading.Lock()
        tables, self._places = [], {}
        for shard in range(len(self.files)):
            with self._open(shard) as file:
                tables.append(file.read(columns=list(light)))
                ids = iter(tables[-1]["id"].to_pylist())
                for group in range(file.metadata.num_row_groups):
                    for row in range(file.metadata.row_group(group).num_rows):
                        self._places[next(ids)] = (shard, group, row)
        self.index = pa.concat_tables(tables) if tables else None
        """The light columns of all rows, in stored order."""

    def __contains__(self, name: str) -> bool:
        return name in self._places

    def row(self, name: str) -> dict[str, Any]:
        """The heavy columns of one row."""
        shard, group, row = self._places[name]
        return self._group(shard, group).slice(row, 1).to_pylist()[0]

    def in_stored_order(self, names: Iterable[str]) -> list[str]:
        """So that a pass over many rows reads each row group once."""
        return sorted(names, key=self._places.__getitem__)

    def _group(self, shard: int, group: int) -> pa.Table:
        with self._lock:
            if (shard, group) not in self._groups:
                with self._open(shard) as file:
                    self._groups[shard, group] = file.read_row_group(group, columns=self.heavy)
                while len(self._groups) > 4:
                    self._groups.popitem(last=False)
            self._groups.move_to_end((shard, group))
            return self._groups[shard, group]

    @contextlib.contextmanager
    def _open(self, shard: int) -> Iterator[pq.ParquetFile]:
        name = self.files[shard]
        try:
            with pq.ParquetFile(
                self.store.path(name), filesystem=self.store.filesystem, pre_buffer=False
            ) as file:
                yield file
        except (OSError, pa.ArrowException) as error:
            reason = str(error).splitlines()[0][:120]
            fault = f"shard is missing or damaged ({reason}); make it again"
            raise StorageError(f"{self.store.url}/{name}: {fault}") from None


@dataclass(frozen=True)
class Sample:
    """A decoded row: image `[H, W, C]` uint8 or uint16, mask `[H, W]` uint8 class ids (255 = ignore) or
    None."""

    id: str
    group: str
    split: str
    volume: str | None
    slice: int | None
    spacing: list[float] | None
    image: np.ndarray
    mask: np.ndarray | None
    bits: np.ndarray | None
    """The mask before overlapping lesions were flattened to one id per pixel; None for corpora of ids."""
    labels: np.ndarray

    @property
    def structure(self) -> int:
        """Pixels of any class but the background."""
        return 0 if self.mask is None else int(((self.mask > 0) & (self.mask != IGNORE)).sum())

    def planes(self, classes: int) -> np.ndarray:
        """Masks of so many classes but the background, bool `[K-1, H, W]`; overlapping lesions are whole."""
        if self.bits is not None:
            return np.stack([self.bits >> lesion & 1 for lesion in range(classes - 1)]).astype(bool)
        return np.stack([self.mask == index for index in range(1, classes)])


class Corpus:
    """An immutable corpus of images with whatever labels came with them."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.info = CorpusInfo.read(store)
        self._reader = ShardReader(store, self.info.shards, INDEX_COLUMNS, ["image", "mask"])
        self._position = {name: i for i, name in enumerate(self.index["id"].to_pylist())}

    @classmethod
    def open(cls, url: str | Store) -> Corpus:
        return cls(Store.at(url))

    @property
    def index(self) -> pa.Table:
        assert self._reader.index is not None
        return self._reader.index

    @cached_property
    def index_columns(self) -> dict[str, list[Any]]:
        """The index as Python lists, by column."""
        return {name: self.index[name].to_pylist() for name in INDEX_COLUMNS}

    def ids(self, split: str) -> list[str]:
        """Ids of a split in stored order; raises `CorpusError` when there is none."""
        ids = self.ids_in(split)
        if not ids:
            present = sorted(set(self.index_columns["split"]))
            raise CorpusError(
                f"corpus '{self.info.name}' has no row in split '{split}'; it has: {', '.join(present)}"
            )
        return ids

    def ids_in(self, *splits: str) -> list[str]:
        """Ids of some splits in stored order; there may be none."""
        return [
            name
            for name, split in zip(self.index_columns["id"], self.index_columns["split"], strict=True)
            if split in splits
        ]

    def volumes(self, split: str) -> dict[str, list[str]]:
        """Ids of the slices of each volume of a split, in order; raises `CorpusError` for an image of no
        volume."""
        numbered: dict[str, list[tuple[int, str]]] = {}
        columns = (self.index_columns[name] for name in ("id", "split", "volume", "slice"))
        for name, own, volume, number in zip(*columns, strict=True):
            if own != split:
                continue
            if volume is None:
                where = f"corpus '{self.info.name}': image '{name}' is of no volume"
                mend = (
                    "'slice' and 'volume' (or 'patient' and 'phase') in labels.csv, or leave corpus.patch out"
                )
                raise CorpusError(f"{where}, and corpus.patch asks for volumes; build the corpus with {mend}")
            numbered.setdefault(volume, []).append((number or 0, name))
        return {
            volume: [name for _, name in sorted(slices, key=lambda s: s[0])]
            for volume, slices in numbered.items()
        }

    def value(self, name: str, column: str) -> Any:
        """One light value of one row."""
        return self.index_columns[column][self._position[name]]

    def image(self, name: str) -> np.ndarray:
        """The decoded image `[H, W, C]` of one row."""
        return decode_image(self._reader.row(name)["image"], self.info.channels)

    def mask(self, name: str) -> np.ndarray | None:
        """The mask `[H, W]` as class ids, or None."""
        return self.read(name).mask

    def read(self, name: str) -> Sample:
        """One whole row, decoded."""
        row = self._reader.row(name)
        image = decode_image(row["image"], self.info.channels)
        mask = bits = None
        if row["mask"] is not None:
            mask = decode_mask(row["mask"], image.shape[:2], len(self.info.classes), self.info.encoding)
            if self.info.encoding == "bits":
                bits, mask = mask, flatten_bits(mask)
        light = {key: self.value(name, key) for key in ("group", "split", "volume", "slice", "spacing")}
        labels = np.asarray(self.value(name, "labels"), np.int32)
        return Sample(id=name, image=image, mask=mask, bits=bits, labels=labels, **light)

    def in_stored_order(self, names: Iterable[str]) -> list[str]:
        """Ids sorted by where their rows lie."""
        return self._reader.in_stored_order(names)

    def rows(self, names: Iterable[str]) -> Iterator[Sample]:
        """Decode rows one after the other in stored order, with the memory of a few row groups."""
        return (self.read(name) for name in self._reader.in_stored_order(names))
