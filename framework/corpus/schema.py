"""The columns of a corpus, and `corpus.json`, the description beside its shards."""

from typing import Any, Final, Literal, Self

import pyarrow as pa
from pydantic import ValidationError, field_validator

from framework.core.errors import CorpusError, StorageError
from framework.core.integrity import Files
from framework.core.labels import Encoding
from framework.core.settings import Settings
from framework.core.storage import Store

SPLITS = ("train", "val", "test", "excluded")
WEAK_KINDS = ("box", "polygon", "scribble", "noisy")
"""Kinds of mask that are cheap to draw; `noisy` is too large or too small."""
MASK_KINDS = ("mask", *WEAK_KINDS, "pseudo", "seed")
NO_MASK = "none"
"""The kind of an image that has no mask under the budget and in no layer."""
WEAK_COMMANDS = "`scantseg simulate-weak` or `scantseg import-masks`"
"""What makes a layer of weak masks, for messages that miss one."""
LAYER_COMMANDS = f"`scantseg pseudolabel`, {WEAK_COMMANDS}"
MOST_CLASSES = {"ids": 255, "bits": 9}
"""Class ids that a mask can hold, the background among them, by encoding."""
ROWS_PER_GROUP = 32
"""Rows of a Parquet row group: what one random access reads."""

FORMAT: Final = 2
"""Of `corpus.json`. In 1, a version did not cover names of classes and labels, encoding and spacing."""
OF_CORPUS = b"scantseg.corpus"
"""Key of a shard's metadata: the fingerprint of the corpus that it belongs to, and its own name."""
CORPUS_FILE = "corpus.json"

ROW = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("group", pa.string(), nullable=False),  # the patient: never in two splits
        pa.field("split", pa.string(), nullable=False),
        pa.field("image", pa.binary(), nullable=False),  # PNG or JPEG, as it came
        pa.field("height", pa.int32(), nullable=False),
        pa.field("width", pa.int32(), nullable=False),
        pa.field("volume", pa.string()),
        pa.field("slice", pa.int32()),
        pa.field("spacing", pa.list_(pa.float32())),  # mm: slice, row, column; or row, column
        pa.field("mask", pa.binary()),  # PNG of class ids or lesion bits
        pa.field("mask_kind", pa.string()),
        pa.field("mask_pixels", pa.list_(pa.int64())),  # by class; of bits by lesion, 0 being none of them
        pa.field("labels", pa.list_(pa.int32()), nullable=False),  # one per CorpusInfo.labels, -1 unknown
        pa.field("source", pa.string(), nullable=False),
        pa.field("hash", pa.string(), nullable=False),  # SHA-256 of the encoded image
    ]
)
INDEX_COLUMNS = [name for name in ROW.names if name not in ("image", "mask")]
"""The columns that fit in memory for any corpus: all that is known of an image but how it looks."""


def shard_owner(fingerprint: str, shard: str) -> bytes:
    """What the metadata of a shard say: shards of two corpora are never mixed."""
    return f"{fingerprint}/{shard}".encode()


class LabelInfo(Settings):
    """An image-level label: its name and the names of its values `0..n-1`."""

    name: str
    values: list[str]


class Intensity(Settings):
    """Mean and standard deviation of each channel over all pixels, in 0..1 of the pixel type's range."""

    mean: list[float]
    std: list[float]


class CorpusInfo(Settings):
    """What `corpus.json` holds."""

    format: Literal[2]
    name: str
    classes: list[str]
    encoding: Encoding
    labels: list[LabelInfo]
    channels: Literal[1, 3]
    intensity: Intensity
    counts: dict[str, int]
    fingerprint: str
    """Fingerprint of the source: two sources are never mixed."""
    version: str
    """Hash over all rows and what their numbers mean: equal versions are equal corpora."""
    shards: list[str]
    files: Files = {}
    """Size and hash of each shard."""
    notes: list[str]
    """What the build found that a user should know, a line each."""

    @field_validator("counts")
    @classmethod
    def _has_rows(cls, counts: dict[str, int]) -> dict[str, int]:
        if missing := {"rows", "quarantined"} - counts.keys():
            raise ValueError(f"lacks {' and '.join(sorted(missing))}")
        return counts

    @classmethod
    def read(cls, store: Store) -> Self:
        """Read `corpus.json`; raises `CorpusError` when the folder is no corpus."""
        if not store.exists(CORPUS_FILE):
            hint = "make one with `scantseg corpus build`"
            if store.exists("building.json"):
                hint = "its build was interrupted: run the same build again"
            raise CorpusError(f"{store.url}: no corpus here; {hint}")
        try:
            described = store.read_json(CORPUS_FILE)
            _require_format(described, store)
            return cls.model_validate(described)
        except ValidationError as error:
            first = error.errors()[0]
            fault = f"not readable ({'.'.join(map(str, first['loc'])) or 'all of it'}: {first['msg']})"
            raise CorpusError(f"{store.url}/corpus.json: {fault}; build the corpus anew") from None
        except StorageError as error:
            raise CorpusError(f"{error}; build the corpus anew") from None

    def label(self, name: str) -> int:
        """Position of an image-level label in the `labels` column."""
        names = [label.name for label in self.labels]
        if name not in names:
            known = ", ".join(names) or "none"
            raise CorpusError(f"corpus '{self.name}' has no image label '{name}'; it has: {known}")
        return names.index(name)


def _require_format(described: Any, store: Store) -> None:
    if (
        isinstance(described, dict)
        and "version" in described
        and (own := described.get("format", 1)) != FORMAT
    ):
        fault = f"of format {own}, and this scantseg reads format {FORMAT}"
        raise CorpusError(f"{store.url}/corpus.json: {fault}; build the corpus anew, into another folder")


class ModelInfo(Settings):
    """What `model.json` holds: the corpus that a model was made for, as far as its networks depend on it."""

    corpus: str
    classes: list[str]
    channels: Literal[1, 3]
    labels: list[LabelInfo] = []

    @classmethod
    def of(cls, info: CorpusInfo) -> Self:
        return cls(corpus=info.name, classes=info.classes, channels=info.channels, labels=info.labels)
