"""Pack rows into Parquet shards: one source, in order, restartable after every shard."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from pydantic import ValidationError

from framework.core.counting import several
from framework.core.errors import CorpusError, RowError
from framework.core.integrity import Files, described, require_sizes
from framework.core.labels import IGNORE, Encoding
from framework.core.lock import lock
from framework.core.settings import Settings, digest
from framework.core.storage import Store
from framework.corpus.findings import findings
from framework.corpus.quarantine import close_quarantine
from framework.corpus.schema import (
    FORMAT,
    INDEX_COLUMNS,
    MOST_CLASSES,
    OF_CORPUS,
    ROW,
    ROWS_PER_GROUP,
    CorpusInfo,
    Intensity,
    LabelInfo,
    shard_owner,
)
from framework.corpus.stacking import Slice, match
from framework.imaging.decode import class_pixels, decode_image, decode_mask, hides_pixels

AT_ONCE = 1 << 22
"""Pixels that are summed at once: as numbers, those of a large picture would not fit in memory."""


@dataclass(frozen=True)
class Reject:
    """A row that could not be used."""

    id: str
    reason: str


Candidate = dict[str, Any] | Reject
"""The columns of a row (`schema.ROW`) without those that packing computes, or why there is none."""


@dataclass(frozen=True)
class Source:
    """Where rows come from."""

    name: str
    fingerprint: str
    total: int
    classes: list[str] | None
    """None: as many as the masks hold, named `class 1`, `class 2`, …"""
    encoding: Encoding
    labels: list[LabelInfo]
    channels: Literal[1, 3]
    rows: Callable[[int], Iterable[Candidate]]
    """The candidates from a position on, in a fixed order."""
    notes: list[str] = field(default_factory=list)
    """What was found in reading it that a user should know."""


class _Progress(Settings):
    """What a restart needs; written beside the shards as `building.json`."""

    fingerprint: str
    taken: int = 0
    shards: list[str] = []
    files: Files = {}
    quarantine: list[dict[str, str]] = []
    counts: dict[str, int] = {}
    digest: str = ""
    highest: int = 0
    ignored: int = 0
    sums: list[list[float]] = [[0.0] * 3, [0.0] * 3]
    pixels: int = 0
    volumes: dict[str, Slice] = {}
    transparent: list[str] = []
    """Images with pixels that are not opaque."""


def pack(
    source: Source,
    out: Store,
    shard_mb: float = 256,
    error_budget: float = 0.05,
    on_progress: Callable[[int], None] = lambda rows: None,
) -> CorpusInfo:
    """Write the corpus, or finish one that was interrupted, or recognise one that is there.

    Raises `CorpusError` as soon as unreadable rows are more than `error_budget` of all (nothing is lost: the
    same command with a larger budget continues), when nothing is left, or when `out` holds another source.
    """
    if out.exists("corpus.json"):
        info = CorpusInfo.read(out)
        _require_same(source, info.fingerprint, out)
        require_sizes(out, info.files)
        return info
    with lock(out):
        progress = _begun(source, out)
        on_progress(progress.taken)
        for items in _shards(source.rows(progress.taken), shard_mb * 2**20):
            _write_shard(source, items, out, progress)
            out.write_json("building.json", progress.model_dump())
            on_progress(len(items))
            if len(progress.quarantine) > error_budget * source.total:
                break
        advice = "build into a new folder, or run again with a larger --error-budget"
        close_quarantine(out, progress.quarantine, source.total, error_budget, advice)
        return _finish(source, out, progress)


def _begun(source: Source, out: Store) -> _Progress:
    if not out.exists("building.json"):
        return _Progress(fingerprint=source.fingerprint)
    try:
        progress = _Progress.model_validate(out.read_json("building.json"))
    except ValidationError:
        fault = "not readable, or of another version of scantseg"
        raise CorpusError(f"{out.url}/building.json: {fault}; delete the folder and build anew") from None
    _require_same(source, progress.fingerprint, out)
    return progress


def _require_same(source: Source, fingerprint: str, out: Store) -> None:
    if source.fingerprint != fingerprint:
        fault = "holds a corpus from another source, one that changed since, or other options"
        raise CorpusError(f"{out.url}: {fault}; choose another folder, or delete it")


def _shards(rows: Iterable[Candidate], size: float) -> Iterator[list[Candidate]]:
    """Split the stream where a shard is full, so that only one shard is ever in memory."""
    items, size_so_far = [], 0
    for row in rows:
        items.append(row)
        if not isinstance(row, Reject):
            size_so_far += len(row["image"]) + len(row["mask"] or b"")
        if size_so_far >= size:
            yield items
            items, size_so_far = [], 0
    if items:
        yield items


def _write_shard(source: Source, items: list[Candidate], out: Store, progress: _Progress) -> None:
    rows = []
    for item in items:
        try:
            if isinstance(item, Reject):
                raise RowError(item.reason)
            _examine(item, source, progress)
            rows.append(item)
        except RowError as error:
            name = item.id if isinstance(item, Reject) else item["id"]
            progress.quarantine.append({"id": name, "reason": str(error)})
    if rows:
        file = f"rows-{len(progress.shards):05d}.parquet"
        owner = ROW.with_metadata({OF_CORPUS: shard_owner(source.fingerprint, file)})
        table = pa.Table.from_pylist(rows, schema=owner)
        out.write_table(file, table, row_group_size=ROWS_PER_GROUP, compression="none")
        progress.shards.append(file)
        progress.files |= described(out, [file])
    progress.taken += len(items)


def _examine(row: dict[str, Any], source: Source, progress: _Progress) -> None:
    """Decode once, so that all in a corpus is known to be readable; gather counts, statistics, version."""
    image = decode_image(row["image"], source.channels)
    row["height"], row["width"] = image.shape[:2]
    row["hash"] = hashlib.sha256(row["image"]).hexdigest()
    match(progress.volumes, row, image)
    if row["mask"] is not None:
        classes = len(source.classes) if source.classes else MOST_CLASSES[source.encoding]
        mask = decode_mask(row["mask"], image.shape[:2], classes, source.encoding)
        row["mask_pixels"] = class_pixels(mask, source.encoding)
        progress.highest = max(progress.highest, len(row["mask_pixels"]) - 1)
        progress.ignored += int((mask == IGNORE).sum()) * (source.encoding == "ids")
    if hides_pixels(row["image"]):
        progress.transparent.append(row["id"])
    for key in ("rows", row["split"], *(["masks"] if row["mask"] is not None else [])):
        progress.counts[key] = progress.counts.get(key, 0) + 1
    progress.digest = _chained(progress.digest, row)
    _sum_intensities(image, progress)


def _chained(previous: str, row: dict[str, Any]) -> str:
    mask = hashlib.sha256(row["mask"] or b"").hexdigest()
    identity = [row[name] for name in ("id", "group", "split", "hash", "volume", "slice", "mask_kind")]
    spacing = [float(size) for size in row.get("spacing") or []]
    parts = json.dumps([previous, *identity, list(row["labels"]), spacing, mask])
    return hashlib.sha256(parts.encode()).hexdigest()


def _sum_intensities(image: np.ndarray, progress: _Progress) -> None:
    pixels = image.reshape(-1, image.shape[-1])
    for start in range(0, len(pixels), AT_ONCE):
        scaled = pixels[start : start + AT_ONCE].astype(np.float32) / np.iinfo(image.dtype).max
        for c in range(scaled.shape[1]):
            progress.sums[0][c] += float(scaled[:, c].sum(dtype=np.float64))
            progress.sums[1][c] += float(np.square(scaled[:, c]).sum(dtype=np.float64))
    progress.pixels += len(pixels)


def _finish(source: Source, out: Store, progress: _Progress) -> CorpusInfo:
    if not progress.shards:
        raise CorpusError(f"{out.url}: the source has no usable row; nothing to pack")
    if not progress.counts.get("train"):
        raise CorpusError(f"{out.url}: no row is in split 'train'; check the column 'split' of labels.csv")
    if progress.counts.get("masks") and not progress.highest:
        ignored = f", and {IGNORE} means 'ignore'" if progress.ignored else ""
        mend = "save them with 1 for the first structure, or leave masks/ away"
        raise CorpusError(f"{out.url}: the masks hold no class id but 0{ignored}; {mend}")
    classes = source.classes or ["background", *(f"class {i + 1}" for i in range(max(1, progress.highest)))]
    labels = [label.model_dump() for label in source.labels]
    index = pa.concat_tables([out.read_table(shard, INDEX_COLUMNS) for shard in progress.shards])
    notes = [*source.notes, *_dropped(progress), *findings(index.to_pydict(), classes)]
    info = CorpusInfo(
        format=FORMAT,
        name=source.name,
        classes=classes,
        encoding=source.encoding,
        labels=source.labels,
        channels=source.channels,
        intensity=_intensity(progress, source.channels),
        counts={**progress.counts, "quarantined": len(progress.quarantine)},
        fingerprint=source.fingerprint,
        version=digest([FORMAT, classes, source.encoding, labels, source.channels, progress.digest]),
        shards=progress.shards,
        files=progress.files,
        notes=[" ".join(note.split()) for note in notes],
    )
    out.write_text("corpus.json", info.model_dump_json(indent=2))
    out.remove("building.json")
    return info


def _dropped(progress: _Progress) -> Iterator[str]:
    if count := len(progress.transparent):
        fault = f"{several(count, 'image')} with transparent pixels (such as '{progress.transparent[0]}')"
        yield f"{fault}: transparency is dropped, and what lies below it is seen"


def _intensity(progress: _Progress, channels: int) -> Intensity:
    mean = [progress.sums[0][c] / progress.pixels for c in range(channels)]
    std = [max(0.0, progress.sums[1][c] / progress.pixels - mean[c] ** 2) ** 0.5 for c in range(channels)]
    return Intensity(mean=mean, std=std)
