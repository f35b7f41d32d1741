"""The per-case table: one row per predictor, case and class; and its summary."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyarrow import csv

from framework.core.storage import Store
from framework.metrics.bootstrap import METHOD, mean_intervals
from framework.metrics.segmentation import METRICS, score

SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("predictor", "case", "group", "class")]
    + [(name, pa.float64()) for name in METRICS]
    + [("truth", pa.int64()), ("predicted", pa.int64()), ("state", pa.string())]
)


def case_rows(
    predictor: str,
    case: str,
    group: str,
    truth: NDArray[np.bool_],
    predicted: NDArray[np.bool_],
    ignored: NDArray[np.bool_],
    classes: Sequence[str],
    spacing: Sequence[float] | None = None,
) -> list[dict[str, Any]]:
    """The rows of one case, one per foreground class.

    `truth` and `predicted` hold a mask of each foreground class, `[K-1, H, W]` or `[K-1, D, H, W]`; what is `ignored`, without
    the first axis, counts nowhere. `classes[0]` is the background. `spacing` is the pixel size along the axes (mm), or None
    for distances in pixels.
    """
    rows = []
    for name, there, said in zip(classes[1:], truth, predicted, strict=True):
        found = score(there, said, spacing, ignored)
        rows.append({"predictor": predictor, "case": case, "group": group, "class": name, **asdict(found)})
    return rows


def write_cases(store: Store, rows: Iterable[dict[str, Any]]) -> pa.Table:
    """Write `cases.parquet` and `cases.csv`; returns the table, in the order of the rows."""
    table = pa.Table.from_pylist(list(rows), schema=SCHEMA)
    store.write_table("cases.parquet", table)
    buffer = io.BytesIO()
    csv.write_csv(table, buffer)
    store.write_bytes("cases.csv", buffer.getvalue())
    return table


def summarise(
    table: pa.Table, classes: Sequence[str], *, split: str, unit: str, dimension: int
) -> dict[str, Any]:
    """The content of `summary.json`: for each predictor, each foreground class and their mean, all metrics with intervals.

    `unit` is that of the distances ("px" or "mm"). "mean" is first taken over the classes of a case, so that every case
    weighs the same; its interval resamples cases together with their group like all others.
    """
    return {
        "split": split,
        "unit": unit,
        "dimension": dimension,
        "cases": len(table["case"].unique()),
        "interval": METHOD,
        "predictors": {
            name: _summarise_predictor(table.filter(pc.field("predictor") == name), classes)
            for name in table["predictor"].unique().to_pylist()
        },
    }


def _summarise_predictor(table: pa.Table, classes: Sequence[str]) -> dict[str, dict[str, dict[str, float]]]:
    names = list(classes[1:])
    values, groups = _by_case(table, names)
    columns = np.concatenate(
        [values, values.mean(axis=1, keepdims=True)], axis=1
    )  # [cases, classes + 1, metrics]
    intervals = iter(mean_intervals(columns.reshape(len(columns), -1), groups))
    return {name: {metric: asdict(next(intervals)) for metric in METRICS} for name in [*names, "mean"]}


def _by_case(table: pa.Table, names: list[str]) -> tuple[NDArray[np.float64], list[str]]:
    """Metrics `[cases, classes, metrics]` and the group of each case."""
    groups = dict(zip(table["case"].to_pylist(), table["group"].to_pylist(), strict=True))
    row = {case: i for i, case in enumerate(groups)}
    values = np.full((len(row), len(names), len(METRICS)), np.nan)
    for entry in table.to_pylist():
        values[row[entry["case"]], names.index(entry["class"])] = [entry[metric] for metric in METRICS]
    assert not np.isnan(values).any(), "a case lacks the row of a class"
    return values, list(groups.values())
