"""AUPR of lesions that may overlap: a table of histograms, one row per image and lesion, and its summary."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from torch import Tensor

from framework.core.storage import Store
from framework.corpus.reader import Sample
from framework.metrics.average_precision import BINS, average_precision, sample_histograms
from framework.metrics.bootstrap import resamples, spread_interval

FILE = "lesions.parquet"
SIDES = ("without", "with")
"""Columns: of each bin of probability, the number of pixels without and with the lesion."""
SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("id", "group", "lesion")]
    + [(name, pa.list_(pa.int32())) for name in SIDES]
)

Counts = NDArray[np.int32]
"""Histograms `[N, K-1, 2, BINS]` of N images."""


def lesion_rows(sample: Sample, probability: Tensor, lesions: Sequence[str]) -> list[dict[str, Any]]:
    """The rows of one image, from probabilities `[K, H, W]` at its own size."""
    found = sample_histograms(probability, sample).int().numpy()
    light = {"id": sample.id, "group": sample.group}
    return [
        {**light, "lesion": name, **dict(zip(SIDES, held, strict=True))}
        for name, held in zip(lesions, found, strict=True)
    ]


def write_lesions(store: Store, rows: Iterable[dict[str, Any]]) -> pa.Table:
    """Write `lesions.parquet`; returns the table, image after image, each with all lesions in their order."""
    table = pa.Table.from_pylist(list(rows), schema=SCHEMA)
    store.write_table(FILE, table)
    return table


def counts_of(table: pa.Table) -> tuple[Counts, list[str], list[str]]:
    """Histograms of the images, the group of each image, and the lesions."""
    lesions = table["lesion"].unique().to_pylist()
    sides = [
        table[side].combine_chunks().flatten().to_numpy().reshape(-1, len(lesions), BINS) for side in SIDES
    ]
    return np.stack(sides, axis=2), table["group"].to_pylist()[:: len(lesions)], lesions


def showing(counts: Counts) -> NDArray[np.bool_]:
    """Which images show which lesion, `[N, K-1]`."""
    return counts[:, :, 1].sum(-1) > 0


def areas(counts: Counts, weight: NDArray[np.float64]) -> NDArray[np.float64]:
    """AUPR of each lesion, and in the last column their mean over those that occur at all, `[R, K]`, under weights `[R, N]`.

    NaN where a lesion has no pixel; the mean leaves such a lesion out.
    """
    columns = [
        average_precision((weight @ held.reshape(len(held), -1)).reshape(-1, 2, BINS))
        for held in counts.swapaxes(0, 1)
    ]
    known = np.isfinite(columns).sum(0)
    mean = np.where(known, np.nansum(columns, axis=0) / np.maximum(known, 1), np.nan)
    return np.stack([*columns, mean], axis=1)


def summarise_lesions(table: pa.Table) -> dict[str, Any]:
    """Each lesion's AUPR with its interval (None where it does not occur) and number of images with it, and their mean."""
    counts, groups, lesions = counts_of(table)
    (values,), spread = areas(counts, np.ones((1, len(counts)))), areas(counts, resamples(groups))
    shown = showing(counts)
    images = [*shown.sum(0).tolist(), int((shown.sum(1) > 0).sum())]
    found = [spread_interval(value, drawn) for value, drawn in zip(values, spread.T, strict=True)]
    return {
        name: {"aupr": None if held is None else asdict(held), "images": count}
        for name, held, count in zip([*lesions, "mean"], found, images, strict=True)
    }
