"""Read a corpus or a layer: the small columns at once, images and masks by id or as a stream."""

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from framework.core.errors import CorpusError, RowError, StorageError
from framework.core.integrity import require_sizes
from framework.core.labels import IGNORE
from framework.core.storage import Store
from framework.core.storage_faults import fault_of, is_unanswered
from framework.corpus.schema import INDEX_COLUMNS, OF_CORPUS, CorpusInfo, shard_owner
from framework.imaging.decode import decode_image, decode_mask, flatten_bits


class ShardReader:
    """Rows of Parquet shards by id; of the large columns it holds the last few row groups alone."""

    def __init__(
        self,
        store: Store,
        files: list[str],
        small: list[str],
        large: list[str],
        fingerprint: str | None = None,
    ) -> None:
        """With the `fingerprint` of a corpus, shards of another one are a `StorageError`."""
        self.store, self.large, self._fingerprint = store, large, fingerprint
        self.index: dict[str, list[Any]] = {column: [] for column in small}
        """The small columns of all rows, in stored order."""
        self._places: dict[str, tuple[str, int, int]] = {}
        self._group = lru_cache(maxsize=4)(self._read_group)
        for shard in files:
            self._read_index(shard)

    def _read_index(self, shard: str) -> None:
        with self._open(shard) as file:
            self._check(file, shard)
            columns = file.read(columns=list(self.index)).to_pydict()
            sizes = [file.metadata.row_group(i).num_rows for i in range(file.metadata.num_row_groups)]
        places = ((shard, group, row) for group, size in enumerate(sizes) for row in range(size))
        self._places |= zip(columns["id"], places, strict=True)
        for name, values in self.index.items():
            values += columns.get(name, [None] * sum(sizes))

    def _check(self, file: pq.ParquetFile, shard: str) -> None:
        """Raise `StorageError` for a file that has taken a shard's place."""
        owner, fault = (file.metadata.metadata or {}).get(OF_CORPUS), ""
        if missing := {*self.index, *self.large} - {*file.schema_arrow.names}:
            fault = f"has no column '{min(missing)}': it holds something else"
        elif self._fingerprint is not None and owner != shard_owner(self._fingerprint, shard):
            fault = "is a shard of another corpus, or another one of this"
        if fault:
            raise StorageError(
                f"{self.store.url}/{shard}: {fault}; put the right file back, or make it again"
            )

    def __contains__(self, name: str) -> bool:
        return name in self._places

    @contextlib.contextmanager
    def explained(self, name: str) -> Iterator[None]:
        """A `RowError` in the block says which row it is of, and where that lies."""
        try:
            yield
        except RowError as error:
            place = f"{self.store.url}/{self._places[name][0]}: row '{name}'"
            raise RowError(f"{place}: {error}; it changed since it was made: make it again") from None

    def row(self, name: str) -> dict[str, Any]:
        """The large columns of one row; raises `StorageError` where its group of rows is damaged."""
        shard, group, row = self._places[name]
        try:
            return self._group(shard, group).slice(row, 1).to_pylist()[0]
        except StorageError as error:
            raise type(error)(f"{error} (row '{name}', or one of those stored with it)") from None

    def in_stored_order(self, names: Iterable[str]) -> list[str]:
        """So that a pass over many rows reads each row group once."""
        return sorted(names, key=self._places.__getitem__)

    def _read_group(self, shard: str, group: int) -> pa.Table:
        with self._open(shard) as file:
            return file.read_row_group(group, columns=self.large)

    @contextlib.contextmanager
    def _open(self, shard: str) -> Iterator[pq.ParquetFile]:
        path = self.store.path(shard)
        options: Any = {"filesystem": self.store.filesystem, "pre_buffer": False}
        options["page_checksum_verification"] = True
        try:
            with pq.ParquetFile(path, **options) as file:
                yield file
        except StorageError:
            raise
        except Exception as error:
            if is_unanswered(error):
                raise fault_of(error, f"{self.store.url}/{shard}") from None
            if not isinstance(error, (OSError, pa.ArrowException)):
                raise
            fault = f"shard is missing or damaged ({str(error).splitlines()[0][:120]})"
            raise StorageError(f"{self.store.url}/{shard}: {fault}; make it again") from None


@dataclass(frozen=True)
class Sample:
    """A decoded row: image `[H, W, C]` uint8 or uint16, mask `[H, W]` uint8 class ids (255 = ignore)."""

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
        require_sizes(store, self.info.files)
        self._reader = ShardReader(
            store, self.info.shards, INDEX_COLUMNS, ["image", "mask"], self.info.fingerprint
        )
        self.index_columns = self._reader.index
        """All that is known of the images but how they look, by column, in stored order."""
        self._position = {name: i for i, name in enumerate(self.index_columns["id"])}
        if (rows := len(self.index_columns["id"])) != (packed := self.info.counts["rows"]):
            fault = f"the shards hold {rows} rows, and corpus.json says {packed}"
            raise CorpusError(f"{store.url}: {fault}; build the corpus anew")

    @classmethod
    def open(cls, url: str | Store) -> Self:
        return cls(Store.at(url))

    def ids(self, split: str) -> list[str]:
        """Ids of a split in stored order; raises `CorpusError` when there is none."""
        if ids := self.ids_in(split):
            return ids
        present = ", ".join(sorted(set(self.index_columns["split"])))
        raise CorpusError(f"corpus '{self.info.name}' has no row in split '{split}'; it has: {present}")

    def ids_in(self, *splits: str) -> list[str]:
        """Ids of some splits in stored order; there may be none."""
        rows = zip(self.index_columns["id"], self.index_columns["split"], strict=True)
        return [name for name, split in rows if split in splits]

    def volumes(self, split: str) -> dict[str, list[str]]:
        """Slices of each volume of a split, in order; raises `CorpusError` for an image of no volume."""
        volumes: dict[str, list[str]] = {}
        for name in self.ids_in(split):
            if (volume := self.value(name, "volume")) is None:
                fault = f"image '{name}' is of no volume, and corpus.patch asks for volumes"
                columns = "'slice' and 'volume' (or 'patient' and 'phase') in labels.csv"
                mend = f"build the corpus with {columns}, or leave corpus.patch out"
                raise CorpusError(f"corpus '{self.info.name}': {fault}; {mend}")
            volumes.setdefault(volume, []).append(name)
        for names in volumes.values():
            names.sort(key=lambda name: self.value(name, "slice"))
        return volumes

    def value(self, name: str, column: str) -> Any:
        """One value of one row, of the columns of the index."""
        return self.index_columns[column][self._position[name]]

    def image(self, name: str) -> np.ndarray:
        """The decoded image `[H, W, C]` of one row."""
        with self._reader.explained(name):
            return decode_image(self._reader.row(name)["image"], self.info.channels)

    def mask(self, name: str) -> np.ndarray | None:
        """The mask `[H, W]` as class ids, or None."""
        return self.read(name).mask

    def read(self, name: str) -> Sample:
        """One whole row, decoded."""
        row = self._reader.row(name)
        mask = bits = None
        with self._reader.explained(name):
            image = decode_image(row["image"], self.info.channels)
            if row["mask"] is not None:
                mask = decode_mask(row["mask"], image.shape[:2], len(self.info.classes), self.info.encoding)
        if mask is not None:
            bits, mask = (mask, flatten_bits(mask)) if self.info.encoding == "bits" else (None, mask)
        known = {key: self.value(name, key) for key in ("group", "split", "volume", "slice", "spacing")}
        labels = np.asarray(self.value(name, "labels"), np.int32)
        return Sample(id=name, image=image, mask=mask, bits=bits, labels=labels, **known)

    def in_stored_order(self, names: Iterable[str]) -> list[str]:
        """Ids sorted by where their rows lie."""
        return self._reader.in_stored_order(names)

    def rows(self, names: Iterable[str]) -> Iterator[Sample]:
        """Decode rows one after the other in stored order, with the memory of a few row groups."""
        return (self.read(name) for name in self._reader.in_stored_order(names))
