"""How a job writes a label layer: it claims the folder, writes whole parts of rows, and after a restart does
only what is missing.

A part is a Parquet file under a name made of its ids. A row that cannot be used becomes one of a part of
the quarantine.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from framework.core.artifact import ArtifactSpec
from framework.core.callbacks import OnProgress
from framework.core.errors import CorpusError, RowError
from framework.core.labels import IGNORE
from framework.core.storage import Store
from framework.corpus.label_layers import LAYER_ROW
from framework.corpus.schema import NO_MASK, ROWS_PER_GROUP
from framework.imaging.decode import encode_png

QUARANTINE_ROW = pa.schema([("id", pa.string()), ("reason", pa.string())])
PART = 512
"""Rows of a part: what a restart may have to do again."""


def claim(out: Store, recipe: ArtifactSpec) -> None:
    """A half-made layer is continued only by the recipe that began it."""
    if out.exists("spec.json") and out.read_json("spec.json")["hash"] != recipe.hash:
        raise CorpusError(
            f"{out.url}: a layer of another input or setting was begun here; choose another name or delete it"
        )
    out.write_json("spec.json", {"hash": recipe.hash})


def finished_ids(out: Store) -> set[str]:
    """Ids that an earlier run wrote or quarantined."""
    return {
        name
        for part in out.names()
        if part.endswith(".parquet")
        for name in out.read_table(part)["id"].to_pylist()
    }


def write_masks(
    out: Store,
    kind: str,
    names: Sequence[str],
    mask: Callable[[str], np.ndarray],
    error_budget: float,
    on_progress: OnProgress,
) -> int:
    """Write the rows of `names` that are not there yet, one part after the other; gives how many of all are
        in quarantine.

    `mask` gives the uint8 class ids `[H, W]` of an image, or raises `RowError`. Raises `CorpusError` over
        the error budget.
    """
    with out.lock():
        done = finished_ids(out)
        missing = [name for name in names if name not in done]
        on_progress(len(names) - len(missing), len(names))
        for start in range(0, len(missing), PART):
            _write_masks(out, kind, missing[start : start + PART], mask)
            on_progress(len(names) - max(0, len(missing) - start - PART), len(names))
            if len(quarantined(out)) > error_budget * len(names):
                break
        return close_quarantine(out, len(names), error_budget)


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
    held = {
        "kind": kind if claimed.size else NO_MASK,
        "mask": encode_png(mask),
        "kept": claimed.size / mask.size,
    }
    return held | {"kept_pixels": np.bincount(claimed).tolist()}


def write_part(out: Store, kind: str, rows: list[dict[str, Any]], schema: pa.Schema) -> None:
    """Write rows under a name made of their ids, so that no two parts share one; nothing for no rows."""
    if rows:
        digest = hashlib.sha256("\n".join(sorted(row["id"] for row in rows)).encode()).hexdigest()[:16]
        with out.atomic_writer(f"{kind}-{digest}.parquet") as stream:
            pq.write_table(pa.Table.from_pylist(rows, schema=schema), stream, row_group_size=ROWS_PER_GROUP)


def rows_by_kind(out: Store) -> Counter[str]:
    """How many rows there are of each kind of label."""
    return Counter(
        kind
        for part in out.names()
        if part.startswith("rows-")
        for kind in out.read_table(part)["kind"].to_pylist()
    )


def pixels_by_class(out: Store, column: str, classes: int) -> np.ndarray:
    """Pixels of each class `[K]` over all rows, from the column that counts them."""
    found = np.zeros(classes, np.int64)
    for part in out.names():
        if part.startswith("rows-"):
            for held in out.read_table(part)[column].to_pylist():
                found[: len(held)] += np.array(held, np.int64)
    return found


def quarantined(out: Store) -> list[dict[str, str]]:
    """Ids and reasons of all rows that could not be used."""
    return [
        row
        for name in out.names()
        if name.startswith("quarantined-")
        for row in out.read_table(name).to_pylist()
    ]


def close_quarantine(out: Store, total: int, error_budget: float) -> int:
    """Gather the quarantine in one file and give its rows; raises `CorpusError` when they are over the error
    budget of all."""
    bad = quarantined(out)
    out.write_table("quarantine.parquet", pa.Table.from_pylist(bad, schema=QUARANTINE_ROW))
    if len(bad) > error_budget * total:
        raise over_budget(out, total, error_budget)
    return len(bad)


def over_budget(out: Store, total: int, error_budget: float) -> CorpusError:
    """The error of a job with more unusable rows than it may have."""
    bad = quarantined(out)
    return CorpusError(
        f"{out.url}: {len(bad)} of {total} rows cannot be used, over the error budget of {error_budget:.0%} "
        f"(first: '{bad[0]['id']}': {bad[0]['reason']}; all: quarantined-*.parquet there); "
        "mend them and choose another layer name, or run again with a larger error budget"
    )
