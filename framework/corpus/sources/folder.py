"""Import a folder of `images/`, `masks/` and `labels.csv`, as `framework/corpus/README.md` describes it."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple, Self

from framework.core.errors import CorpusError, RowError
from framework.core.labels import Encoding
from framework.core.settings import digest
from framework.core.storage import Store
from framework.corpus.schema import MOST_CLASSES, LabelInfo
from framework.corpus.sources import mask_survey
from framework.corpus.sources.labels_csv import Record, label_infos, label_value, read_table, volume_of
from framework.corpus.writer import Candidate, Reject, Source
from framework.imaging.codecs.base import Spacing
from framework.imaging.codecs.registry import as_picture, known_suffixes
from framework.imaging.decode import shows_colour
from framework.imaging.mask_values import MaskValues

Meaning = Callable[[bytes], bytes]
"""From a mask's file to what a corpus keeps of it: class ids or bits."""


class Picture(NamedTuple):
    """A file of images/ or masks/ and its bytes."""

    file: str
    size: int


@dataclass(frozen=True)
class Layout:
    """What a folder holds: the rows of its table, and its pictures by id."""

    store: Store
    records: list[Record]
    images: dict[str, Picture]
    masks: dict[str, Picture]

    @classmethod
    def of(cls, folder: Store) -> Self:
        """Raises `CorpusError` when the folder is not of this layout or its table contradicts itself."""
        layout = cls(folder, read_table(folder), pictures(folder / "images"), pictures(folder / "masks"))
        if not layout.images:
            raise CorpusError(f"{folder.url}/images: no image found; expected images/, masks/ and labels.csv")
        if not any(record["id"] in layout.images for record in layout.records):
            example = next(iter(layout.images))
            fault = f"no id of labels.csv has a file in images/ (such as '{example}')"
            raise CorpusError(f"{folder.url}: {fault}")
        return layout

    def strays(self) -> list[Reject]:
        """Pictures that belong to no row: nothing is left out without a word."""
        ids = {record["id"] for record in self.records}
        images = {name: "image without a row of its id in labels.csv" for name in self.images.keys() - ids}
        masks = {name: "mask without a row of its id in labels.csv" for name in self.masks.keys() - ids}
        return [Reject(name, reason) for name, reason in sorted((masks | images).items())]

    def channels(self) -> Literal[1, 3]:
        """3 where an image is in colour; all are converted to the same."""
        for record in self.records:
            with contextlib.suppress(RowError):
                picture = self.images.get(record["id"])
                if picture and shows_colour(self.read("images", picture)[0]):
                    return 3
        return 1

    def drawn(self) -> Iterator[tuple[str, bytes]]:
        """The masks of all records by file, but those that cannot be read."""
        for record in self.records:
            with contextlib.suppress(RowError):
                if mask := self.masks.get(record["id"]):
                    yield mask.file, self.read("masks", mask)[0]

    def read(self, kind: str, picture: Picture) -> tuple[bytes, Spacing | None]:
        """A file of images/ or masks/ as a corpus keeps it."""
        return as_picture(self.store.read_bytes(f"{kind}/{picture.file}"), picture.file.rpartition(".")[2])

    def row(self, record: Record, labels: list[LabelInfo], source: str, meaning: Meaning) -> Candidate:
        """The row of a record, read from its files."""
        file, mask = self.images.get(record["id"]), self.masks.get(record["id"])
        number = record.get("slice", "")
        if file is None:
            return Reject(record["id"], "no file of this id in images/")
        if number and not number.isdecimal():
            return Reject(record["id"], f"labels.csv: slice '{number}' is not a whole number")
        try:
            image, spacing = self.read("images", file)
            drawn = meaning(self.read("masks", mask)[0]) if mask else None
        except RowError as error:
            return Reject(record["id"], str(error))
        return {
            "id": record["id"],
            "group": record["group"],
            "split": record["split"],
            "image": image,
            "volume": volume_of(record),
            "slice": int(number) if number else None,
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
    infos = label_infos(layout.records, labels)
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
        fingerprint=digest([layout.records, layout.images, layout.masks, options]),
        total=len(candidates),
        classes=classes,
        encoding=encoding,
        labels=infos,
        channels=channels or layout.channels(),
        rows=rows,
    )


def _check_classes(classes: list[str] | None, encoding: Encoding) -> None:
    if classes is None:
        return
    most = MOST_CLASSES[encoding]
    if not 2 <= len(classes) <= most:
        needed = f"give 2 to {most} for masks of {encoding}, the background first"
        raise CorpusError(f"classes: {len(classes)} names; {needed}")
    if len(set(classes)) < len(classes):
        names = ", ".join(classes)
        raise CorpusError(f"classes: a name occurs twice in {names}; give each class a name of its own")


def pictures(folder: Store) -> dict[str, Picture]:
    """By id: the file's name without its ending."""
    by_id: dict[str, Picture] = {}
    suffixes = known_suffixes()
    for file, size in folder.sizes().items():
        stem, _, ending = file.rpartition(".")
        if not stem or stem.startswith(".") or ending.lower() not in suffixes:
            continue
        if stem in by_id:
            fault = f"'{by_id[stem].file}' and '{file}' are of one id"
            raise CorpusError(f"{folder.url}: {fault}; keep one of them")
        by_id[stem] = Picture(file, size)
    return by_id
