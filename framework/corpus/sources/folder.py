"""Import a folder of `images/`, `masks/` and `labels.csv`, as `framework/corpus/README.md` describes it."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np

from framework.core.errors import CorpusError, RowError
from framework.core.labels import Encoding
from framework.core.settings import digest
from framework.core.storage import Store
from framework.corpus.schema import MOST_CLASSES, LabelInfo
from framework.corpus.sources import mask_survey
from framework.corpus.sources.label_columns import find_labels, label_value
from framework.corpus.sources.labels_csv import Record, Table, read_table, slice_of, volume_of
from framework.corpus.sources.listing import Listing, Picture
from framework.corpus.sources.spacing_columns import spacing_of
from framework.corpus.writer import Candidate, Reject, Source
from framework.imaging.codecs.base import Spacing
from framework.imaging.codecs.registry import as_picture
from framework.imaging.decode import shows_colour
from framework.imaging.mask_values import MaskValues

Meaning = Callable[[bytes], bytes]
"""From a mask's file to what a corpus keeps of it: class ids or bits."""


@dataclass(frozen=True)
class Layout:
    """What a folder holds: the rows of its table, and its pictures by id."""

    store: Store
    table: Table
    images: Listing
    masks: Listing
    spacings: dict[str, list[float] | None]
    """Of the table, by id."""

    @classmethod
    def of(cls, folder: Store) -> Self:
        """Raises `CorpusError` when the folder is not of this layout or its table contradicts itself."""
        table = read_table(folder)
        spacings = {row["id"]: spacing_of(row, volume_of(row) is not None) for row in table.records}
        layout = cls(folder, table, Listing.of(folder / "images"), Listing.of(folder / "masks"), spacings)
        pictures = layout.images.pictures
        if not pictures and not layout.images.outside:
            found = "; ".join(["no image found", *layout.images.notes()])
            raise CorpusError(f"{folder.url}/images: {found}; expected images/, masks/ and labels.csv")
        if pictures and not any(record["id"] in pictures for record in table.records):
            fault = f"no id of labels.csv has a file in images/ (such as '{next(iter(pictures))}')"
            mend = "an id is the name of a file without its ending"
            raise CorpusError(f"{folder.url}: {fault}; {mend}")
        return layout

    @property
    def records(self) -> list[Record]:
        return self.table.records

    def strays(self) -> list[Reject]:
        """Pictures that belong to no row: nothing is left out without a word."""
        ids = {record["id"] for record in self.records}
        images, masks = (
            {
                name: listing.outside.get(name, f"{what} without a row of its id in labels.csv")
                for name in listing.ids - ids
            }
            for what, listing in (("image", self.images), ("mask", self.masks))
        )
        return [Reject(name, reason) for name, reason in sorted((masks | images).items())]

    def channels(self) -> Literal[1, 3]:
        """3 where an image is in colour; all are converted to the same."""
        for record in self.records:
            with contextlib.suppress(RowError):
                picture = self.images.pictures.get(record["id"])
                if picture and shows_colour(self.read("images", picture)[0]):
                    return 3
        return 1

    def drawn(self) -> Iterator[tuple[str, bytes]]:
        """The masks of all records by file, but those that cannot be read."""
        for record in self.records:
            with contextlib.suppress(RowError):
                if mask := self.masks.pictures.get(record["id"]):
                    yield mask.file, self.read("masks", mask)[0]

    def read(self, kind: str, picture: Picture) -> tuple[bytes, Spacing | None]:
        """A file of images/ or masks/ as a corpus keeps it."""
        return as_picture(self.store.read_bytes(f"{kind}/{picture.file}"), picture.file.rpartition(".")[2])

    def row(self, record: Record, labels: list[LabelInfo], source: str, meaning: Meaning) -> Candidate:
        """The row of a record, read from its files."""
        name, number = record["id"], slice_of(record)
        file, mask = self.images.pictures.get(name), self.masks.pictures.get(name)
        if file is None:
            return Reject(name, self.images.reason(name) or "no file of this id in images/")
        if mask is None and (reason := self.masks.reason(name)):
            return Reject(name, reason)
        if record.get("slice") and number is None:
            return Reject(name, f"labels.csv: slice '{record['slice']:.20}' is not a whole number")
        try:
            image, spacing = self.read("images", file)
            drawn = meaning(self.read("masks", mask)[0]) if mask else None
            spacing = _agreed(self.spacings[name], spacing)
        except RowError as error:
            return Reject(name, str(error))
        return {
            "id": name,
            "group": record["group"],
            "split": record["split"],
            "image": image,
            "volume": volume_of(record),
            "slice": number,
            "spacing": spacing,
            "mask": drawn,
            "mask_kind": "mask" if mask else None,
            "labels": [label_value(record[label.name], label) for label in labels],
            "source": source,
        }


def folder_source(
    folder: Store,
    name: str,
    classes: list[str] | None = None,
    encoding: Encoding = "ids",
    labels: list[str] | None = None,
    mask_values: str = "",
    channels: Literal[1, 3] | None = None,
) -> Source:
    """A folder as a source of rows; `classes` begin with the background. Raises `CorpusError`.

    `mask_values` names what stands for 0, 1, … in the masks (`MaskValues.parse`); without it the rows raise
    `CorpusError` where the masks are not class ids or bits for certain. `channels` None: as the images are.
    """
    _check_classes(classes, encoding)
    layout = Layout.of(folder)
    infos, left_out = find_labels(layout.records, layout.table.others, labels)
    options = [classes, encoding, [info.model_dump() for info in infos], mask_values, channels]
    candidates = [*layout.records, *layout.strays()]
    table = MaskValues.parse(mask_values) if mask_values else None

    def meaning(mask: bytes) -> bytes:
        return table.convert(mask, encoding) if table else mask

    def rows(start: int) -> Iterator[Candidate]:
        if start == 0 and table is None:
            require = {"ids": mask_survey.require_ids, "bits": mask_survey.require_bits}[encoding]
            require(f"{folder.url}/masks", layout.drawn(), len(classes) if classes else None)
        for candidate in candidates[start:]:
            row = candidate if isinstance(candidate, Reject) else layout.row(candidate, infos, name, meaning)
            yield row

    return Source(
        name=name,
        fingerprint=digest([layout.records, layout.images.content(), layout.masks.content(), options]),
        total=len(candidates),
        classes=classes,
        encoding=encoding,
        labels=infos,
        channels=channels or layout.channels(),
        rows=rows,
        notes=[*layout.table.notes, *left_out, *layout.images.notes(), *layout.masks.notes()],
    )


def _agreed(told: list[float] | None, stored: Spacing | None) -> list[float] | None:
    """The spacing of the table, or that of the file; `RowError` where they contradict each other."""
    if told and stored and not np.allclose(told, stored[-len(told) :], rtol=1e-3):
        raise RowError(f"spacing is {told} mm in labels.csv and {list(stored)} in the file: mend the table")
    return told or (list(stored) if stored else None)


def _check_classes(classes: list[str] | None, encoding: Encoding) -> None:
    if classes is None:
        return
    most = MOST_CLASSES[encoding]
    if not 2 <= len(classes) <= most:
        needed = f"give 2 to {most} for masks of {encoding}, the background first"
        raise CorpusError(f"classes: {len(classes)} names; {needed}")
    if not all(classes) or "mean" in classes:
        fault = "a name is empty" if not all(classes) else "'mean' is the name of the mean over the classes"
        raise CorpusError(f"classes: {fault}; give each class a name of its own")
    if len(set(classes)) < len(classes):
        names = ", ".join(classes)
        raise CorpusError(f"classes: a name occurs twice in {names}; give each class a name of its own")
