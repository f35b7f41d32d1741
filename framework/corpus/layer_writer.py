"""How a job writes a layer: it claims the folder, writes whole parts, and after a restart what is missing."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import BaseModel

from framework.core.artifact import ArtifactSpec
from framework.core.callbacks import OnProgress, silent
from framework.core.errors import CorpusError, RowError
from framework.core.labels import IGNORE
from framework.core.lock import lock
from framework.core.storage import Store
from framework.corpus.label_layers import LAYER_ROW
from framework.corpus.quarantine import QUARANTINE_ROW, close_quarantine, over_budget
from framework.corpus.schema import CORPUS_FILE, NO_MASK, ROWS_PER_GROUP
from framework.imaging.decode import encode_png

ADVICE = "choose another layer name, or run again with a larger error budget"
PART = 512
"""Rows of a part: what a restart may have to do again."""


class Begun(BaseModel):
    """What `spec.json` holds: the hash of what a layer is made from."""

    hash: str


@dataclass(frozen=True)
class LayerWriter:
    """A layer that is being made: its folder, and the ids that are to become rows."""

    out: Store
    names: Sequence[str]
    error_budget: float = 0.0
    """Share of unusable rows over which nothing is made."""
    on_progress: OnProgress = silent

    def claim(self, spec: ArtifactSpec) -> None:
        """Begin, or continue what is half-made from the same spec; raises `CorpusError` for another's."""
        if self.out.exists(CORPUS_FILE):
            fault = "a corpus lies here, which nothing is written over"
            raise CorpusError(f"{self.out.url}: {fault}; choose another place for the layer")
        if self.out.exists("spec.json") and self.out.read_json("spec.json", Begun).hash != spec.hash:
            fault = "a layer of another input or setting was begun here"
            raise CorpusError(f"{self.out.url}: {fault}; choose another name, or delete it")
        self.out.write_json("spec.json", {"hash": spec.hash})

    def write_masks(self, kind: str, mask: Callable[[str], np.ndarray]) -> int:
        """Write the missing rows and `close`; `mask` gives class ids `[H, W]`, uint8, or a `RowError`."""
        with lock(self.out):
            done = finished_ids(self.out)
            missing = [name for name in self.names if name not in done]
            for start in range(0, len(missing), PART):
                self.on_progress(len(done) + start, len(self.names))
                _write_masks(self.out, kind, missing[start : start + PART], mask)
                if len(quarantined(self.out)) > self.error_budget * len(self.names):
                    break
            return self.close()

    def close(self) -> int:
        """Gather the quarantine in one file and give its rows; raises `CorpusError` over the error budget."""
        rejected, total = quarantined(self.out), len(self.names)
        close_quarantine(self.out, rejected, total, self.error_budget, ADVICE)
        self.on_progress(total, total)
        return len(rejected)

    def over_budget(self) -> CorpusError:
        """The error of a job with more unusable rows than it may have."""
        return over_budget(self.out, quarantined(self.out), len(self.names), self.error_budget, ADVICE)

    def labelled(self) -> tuple[int, int]:
        """How many rows have a label, and how many have none."""
        kinds = _column(self.out, "rows-", "kind")
        return len(kinds) - kinds.count(NO_MASK), kinds.count(NO_MASK)

    def pixels(self, column: str, classes: int) -> list[int]:
        """Pixels of each class over all rows, from the column that counts them."""
        total = np.zeros(classes, np.int64)
        for counts in _column(self.out, "rows-", column):
            total[: len(counts)] += np.array(counts, np.int64)
        return total.tolist()


def finished_ids(out: Store) -> set[str]:
    """Ids that an earlier run wrote or quarantined."""
    return {*_column(out, "rows-", "id"), *_column(out, "quarantined-", "id")}


def write_part(out: Store, kind: str, rows: list[dict[str, Any]], schema: pa.Schema) -> None:
    """Write rows under a name made of their ids, so that no two parts share one; nothing for no rows."""
    if rows:
        digest = hashlib.sha256("\n".join(sorted(row["id"] for row in rows)).encode()).hexdigest()[:16]
        table = pa.Table.from_pylist(rows, schema=schema)
        out.write_table(f"{kind}-{digest}.parquet", table, row_group_size=ROWS_PER_GROUP)


def quarantined(out: Store) -> list[dict[str, str]]:
    """Ids and reasons of all rows that could not be used."""
    return [row for part in out.names("quarantined-") for row in out.read_table(part).to_pylist()]


def _write_masks(out: Store, kind: str, names: Sequence[str], mask: Callable[[str], np.ndarray]) -> None:
    good, bad = [], []
    for name in names:
        try:
            good.append({"id": name, **_described(mask(name), kind)})
        except RowError as error:
            bad.append({"id": name, "reason": str(error)})
    write_part(out, "rows", good, LAYER_ROW)
    write_part(out, "quarantined", bad, QUARANTINE_ROW)


def _described(mask: np.ndarray, kind: str) -> dict[str, Any]:
    """The columns of a mask; an image of which it claims nothing counts as one without a label."""
    claimed = mask[mask != IGNORE]
    return {
        "kind": kind if claimed.size else NO_MASK,
        "mask": encode_png(mask),
        "kept": claimed.size / mask.size,
        "kept_pixels": np.bincount(claimed).tolist(),
    }


def _column(out: Store, parts: str, column: str) -> list[Any]:
    """One column of all parts whose names begin so; it alone is read, not the masks."""
    tables = [out.read_table(name, [column]) for name in out.names(parts)]
    return [value for table in tables for value in table[column].to_pylist()]
