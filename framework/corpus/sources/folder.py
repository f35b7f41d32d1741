"""Import a folder of `images/`, `masks/` and `labels.csv`: the layout that every data set can be brought into.

`labels.csv` has a row per image. `id` is the file's name without its ending. Optional columns: `split` (train, val, test,
excluded; without it, patients are split 70/10/20 by a hash), `group` or `patient`, `volume` (or `patient` and `phase`) with
`slice` for images that stack to volumes. Every other column of few values is an image-level label; an empty cell is unknown.

A table that contradicts itself is an error. A row without an image, and an image or mask without a row, is put in quarantine.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from framework.core.errors import CorpusError, RowError
from framework.core.storage import Store
from framework.corpus.schema import LabelInfo
from framework.corpus.sources.labels_csv import Record, label_infos, label_value, read_table, volume_of
from framework.corpus.writer import Reject, Source
from framework.imaging.decode import decode_image

ENDINGS = ("png", "jpg", "jpeg", "tif", "tiff", "bmp", "webp", "pgm", "ppm", "jp2")
"""Of the files that count as pictures, in any case."""

LOOKS = 32
"""Images that are looked at to tell whether a corpus is in colour."""


class Picture(NamedTuple):
    """A file of images/ or masks/ and its bytes."""

    file: str
    size: int


@dataclass(frozen=True)
class Layout:
    """What was found in a folder: the rows of its table, and its pictures by id."""

    store: Store
    records: list[Record]
    images: dict[str, Picture]
    masks: dict[str, Picture]

    @classmethod
    def of(cls, folder: Store) -> Layout:
        """Raises `CorpusError` when the folder is not of this layout or its table contradicts itself."""
        found = cls(folder, read_table(folder), pictures(folder / "images"), pictures(folder / "masks"))
        if not found.images:
            raise CorpusError(f"{folder.url}/images: no image found; expected images/, masks/ and labels.csv")
        if not any(record["id"] in found.images for record in found.records):
            raise CorpusError(
                f"{folder.url}: no id of labels.csv has a file in images/ (such as '{next(iter(found.images))}')"
            )
        return found

    def strays(self) -> list[Reject]:
        """Pictures that belong to no row: nothing is left out without a word."""
        ids = {record["id"] for record in self.records}
        images = {name: "image without a row of its id in labels.csv" for name in self.images.keys() - ids}
        masks = {name: "mask without a row of its id in labels.csv" for name in self.masks.keys() - ids}
        return [Reject(name, reason) for name, reason in sorted((masks | images).items())]

    def channels(self) -> Literal[1, 3]:
        """3 when one of a few readable images, spread over all, is in colour; all images are converted to the same."""
        listed = [self.images[record["id"]] for record in self.records if record["id"] in self.images]
        for picture in listed[:: -(-len(listed) // LOOKS)]:
            with contextlib.suppress(RowError):
                if decode_image(self.store.read_bytes(f"images/{picture.file}")).shape[-1] == 3:
                    return 3
        return 1

    def row(self, record: Record, labels: list[LabelInfo], source: str) -> dict[str, Any] | Reject:
        """The row of a record, read from its files."""
        image, mask, number = (
            self.images.get(record["id"]),
            self.masks.get(record["id"]),
            record.get("slice", ""),
        )
        if image is None:
            return Reject(record["id"], "no file of this id in images/")
        if number and not number.isdecimal():
            return Reject(record["id"], f"labels.csv: slice '{number}' is not a whole number")
        return {
            "id": record["id"],
            "group": record["group"],
            "split": record["split"],
            "image": self.store.read_bytes(f"images/{image.file}"),
            "volume": volume_of(record),
            "slice": int(number) if number else None,
            "spacing": None,
            "mask": self.store.read_bytes(f"masks/{mask.file}") if mask else None,
            "mask_kind": "mask" if mask else None,
            "labels": [label_value(record[label.name], label) for label in labels],
            "source": source,
        }


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
    _check_classes(classes, encoding)
    layout = Layout.of(folder)
    infos = label_infos(layout.records, labels)
    candidates = [*layout.records, *layout.strays()]

    def rows(start: int) -> Iterator[dict[str, Any] | Reject]:
        for candidate in candidates[start:]:
            yield candidate if isinstance(candidate, Reject) else layout.row(candidate, infos, name)

    return Source(
        name=name,
        fingerprint=_fingerprint(layout, classes, encoding, [info.model_dump() for info in infos]),
        total=len(candidates),
        classes=classes,
        encoding=encoding,
        labels=infos,
        channels=layout.channels(),
        rows=rows,
    )


def _check_classes(classes: list[str] | None, encoding: Literal["ids", "bits"]) -> None:
    most = 255 if encoding == "ids" else 9
    if classes is None:
        return
    if not 2 <= len(classes) <= most:
        raise CorpusError(
            f"classes: {len(classes)} names; give 2 to {most} for masks of {encoding}, the background first"
        )
    if len(set(classes)) < len(classes):
        raise CorpusError(
            f"classes: a name occurs twice in {', '.join(classes)}; give each class a name of its own"
        )


def pictures(folder: Store) -> dict[str, Picture]:
    """By id: the file's name without its ending."""
    found: dict[str, Picture] = {}
    for file, size in folder.sizes().items():
        stem, _, ending = file.rpartition(".")
        if not stem or stem.startswith(".") or ending.lower() not in ENDINGS:
            continue
        if stem in found:
            raise CorpusError(
                f"{folder.url}: '{found[stem].file}' and '{file}' are of one id; keep one of them"
            )
        found[stem] = Picture(file, size)
    return found


def _fingerprint(layout: Layout, *options: Any) -> str:
    """Of the table, the options, and the name and size of each file: a picture that changed since is another source."""
    described = [layout.records, layout.images, layout.masks, options]
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:16]
