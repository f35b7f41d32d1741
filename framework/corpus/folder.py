"""Import a folder of `images/`, `masks/` and `labels.csv`: the layout that every data set can be brought into.

`labels.csv` has a row per image. `id` is the file's name without its ending. Optional columns: `split` (train, val, test,
excluded; without it, patients are split 70/10/20 by a hash), `group` or `patient`, `volume` (or `patient` and `phase`) with
`slice` for images that stack to volumes. Every other column of few values is an image-level label; an empty cell is unknown.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections.abc import Iterator
from typing import Any, Literal

from framework.corpus.decode import decode_image
from framework.corpus.pack import Reject, Source
from framework.corpus.schema import SPLITS, LabelInfo
from framework.errors import CorpusError, RowError, StorageError, nearest
from framework.storage import Store

MOST_VALUES = 64
"""A column with more values than this is a measurement, not a label."""
_STRUCTURE = ("id", "split", "group", "patient", "volume", "phase", "slice")

Record = dict[str, str]


def folder_source(
    folder: Store,
    name: str,
    classes: list[str] | None = None,
    encoding: Literal["ids", "bits"] = "ids",
    labels: list[str] | None = None,
) -> Source:
    """Describe a folder as a source of rows; raises `CorpusError` for a table that contradicts itself.

    `classes` are the names of the mask's ids (or, for `bits`, background and one name per bit); `labels` the columns that are
    image-level labels (None: found by themselves).
    """
    records = _read_table(folder)
    images, masks = _stems(folder / "images"), _stems(folder / "masks")
    if not images:
        raise CorpusError(f"{folder.url}/images: no image found; expected images/, masks/ and labels.csv")
    infos = _label_infos(records, labels)
    first = next((images[r["id"]] for r in records if r["id"] in images), None)
    if first is None:
        raise CorpusError(f"{folder.url}: no id of labels.csv has a file in images/ (such as '{next(iter(images))}')")
    return Source(
        name=name,
        fingerprint=_fingerprint(records, images, masks, classes, encoding, infos),
        total=len(records),
        classes=classes,
        encoding=encoding,
        labels=infos,
        channels=_channels(folder, records, images),
        rows=lambda start: _rows(folder, name, records[start:], images, masks, infos),
    )


def _read_table(folder: Store) -> list[Record]:
    try:
        text = folder.read_bytes("labels.csv").decode("utf-8-sig")
    except StorageError:
        missing = "labels.csv" if folder.exists() else "folder"
        raise CorpusError(f"{folder.url}: no {missing} there; expected images/, masks/ and labels.csv") from None
    except UnicodeDecodeError:
        raise CorpusError(f"{folder.url}/labels.csv: not UTF-8 text; save it as CSV in UTF-8") from None
    records = [{k: (v or "").strip() for k, v in row.items() if k} for row in csv.DictReader(io.StringIO(text))]
    if not records:
        raise CorpusError(f"{folder.url}/labels.csv: no rows; it needs one row per image")
    if "id" not in records[0]:
        raise CorpusError(f"{folder.url}/labels.csv: no column 'id'; it has: {', '.join(records[0])}")
    for record in records:
        record["group"] = record.get("group") or record.get("patient") or record["id"]
        record["split"] = record.get("split") or _hashed_split(record["group"])
    records.sort(key=lambda record: record["id"])
    _check_table(folder, records)
    return records


def _hashed_split(group: str) -> str:
    draw = int.from_bytes(hashlib.sha256(f"split:{group}".encode()).digest()[:8], "big") / 2**64
    return "train" if draw < 0.7 else "val" if draw < 0.8 else "test"


def _check_table(folder: Store, records: list[Record]) -> None:
    where = f"{folder.url}/labels.csv"
    seen: set[str] = set()
    splits: dict[str, str] = {}
    for record in records:
        if record["id"] in seen:
            raise CorpusError(f"{where}: id '{record['id']}' occurs twice; ids must be unique")
        seen.add(record["id"])
        if record["split"] not in SPLITS:
            raise CorpusError(f"{where}: id '{record['id']}' has split '{record['split']}'{nearest(record['split'], SPLITS)}")
        if record["split"] == "excluded":
            continue
        known = splits.setdefault(record["group"], record["split"])
        if known != record["split"]:
            raise CorpusError(
                f"{where}: group '{record['group']}' is in two splits, '{known}' and '{record['split']}' "
                f"(id '{record['id']}'); a patient must stay in one"
            )


def _stems(folder: Store) -> dict[str, str]:
    return {name.rsplit(".", 1)[0]: name for name in folder.names() if "." in name and not name.startswith(".")}


def _label_infos(records: list[Record], chosen: list[str] | None) -> list[LabelInfo]:
    columns = [c for c in records[0] if c not in _STRUCTURE]
    for name in chosen or []:
        if name not in columns:
            raise CorpusError(f"labels.csv has no label column '{name}'{nearest(name, columns)}")
    candidates = chosen if chosen is not None else columns
    infos = [_label_info(name, {r[name] for r in records if r.get(name)}) for name in candidates]
    return [info for info in infos if info is not None]


def _label_info(name: str, values: set[str]) -> LabelInfo | None:
    """Whole numbers from 0 keep their value as id; words are numbered in sorted order; anything else is no label."""
    if not values:
        return None
    if all(re.fullmatch(r"-?\d+", v) for v in values):
        numbers = {int(v) for v in values} - {-1}
        if not numbers or min(numbers) < 0 or max(numbers) >= MOST_VALUES:
            return None
        return LabelInfo(name=name, values=[str(v) for v in range(max(numbers) + 1)])
    if len(values) > MOST_VALUES or any(re.fullmatch(r"[-+]?[\d.]+(e-?\d+)?", v) for v in values):
        return None
    return LabelInfo(name=name, values=sorted(values))


def _fingerprint(records: list[Record], images: dict[str, str], masks: dict[str, str], *options: Any) -> str:
    text = repr([sorted(r.items()) for r in records]) + repr(sorted(images.values())) + repr(sorted(masks.values()))
    described = [o.model_dump() if isinstance(o, LabelInfo) else o for option in options for o in _flat(option)]
    return hashlib.sha256((text + repr(described)).encode()).hexdigest()[:16]


def _flat(option: Any) -> list[Any]:
    return option if isinstance(option, list) else [option]


def _channels(folder: Store, records: list[Record], images: dict[str, str]) -> Literal[1, 3]:
    """Those of the first readable image: later ones are converted to it."""
    for record in records:
        if record["id"] in images:
            try:
                image = decode_image(folder.read_bytes(f"images/{images[record['id']]}"))
            except RowError:
                continue
            return 1 if image.shape[-1] == 1 else 3
    return 1


def _rows(
    folder: Store, name: str, records: list[Record], images: dict[str, str], masks: dict[str, str], infos: list[LabelInfo]
) -> Iterator[dict[str, Any] | Reject]:
    for record in records:
        file = images.get(record["id"])
        if file is None:
            yield Reject(record["id"], "no file of this id in images/")
            continue
        mask = masks.get(record["id"])
        try:
            labels = [_label_value(record, info) for info in infos]
            number = int(record["slice"]) if record.get("slice") else None
        except ValueError as error:
            yield Reject(record["id"], f"labels.csv: {error}")
            continue
        yield {
            "id": record["id"],
            "group": record["group"],
            "split": record["split"],
            "image": folder.read_bytes(f"images/{file}"),
            "volume": _volume(record),
            "slice": number,
            "spacing": None,
            "mask": folder.read_bytes(f"masks/{mask}") if mask else None,
            "mask_kind": "mask" if mask else None,
            "labels": labels,
            "source": name,
        }


def _label_value(record: Record, info: LabelInfo) -> int:
    value = record.get(info.name, "")
    if value in ("", "-1"):
        return -1
    if value not in info.values:
        raise ValueError(f"label {info.name} is '{value}', not one of {info.values[:8]}")
    return info.values.index(value)


def _volume(record: Record) -> str | None:
    """Slices of one patient and phase stack to a volume, unless a column says otherwise."""
    if record.get("volume"):
        return record["volume"]
    if not record.get("slice"):
        return None
    return "-".join(part for part in (record["group"], record.get("phase", "")) if part)
