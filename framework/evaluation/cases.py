"""The per-case table: a row per predictor, case and class, a column per metric of cases; and its summary."""

import io
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from framework.core.storage import Store
from framework.metrics.base import CaseMetric, Numbers
from framework.metrics.bootstrap import METHOD, mean_intervals
from framework.metrics.case_masks import CaseMasks, Mask
from framework.metrics.registry import metrics_of

FILE = "cases.parquet"


def schema() -> pa.Schema:
    """The columns, those of the metrics among them."""
    return pa.schema(
        [(name, pa.string()) for name in ("predictor", "case", "group", "class")]
        + [(metric.key, pa.float64()) for metric in metrics_of(CaseMetric)]
        + [("truth", pa.int64()), ("predicted", pa.int64()), ("state", pa.string())]
    )


def case_rows(
    predictor: str,
    case: str,
    group: str,
    truth: Mask,
    predicted: Mask,
    ignored: Mask,
    classes: Sequence[str],
    spacing: Sequence[float] | None = None,
) -> list[dict[str, Any]]:
    """A row per foreground class of one case; `classes[0]` is the background, `spacing` as in `CaseMasks.of`.

    `truth` and `predicted` hold masks `[K-1, H, W]` or `[K-1, D, H, W]`; what is `ignored`, without the first
    axis, counts nowhere.
    """
    rows = []
    for name, true, claimed in zip(classes[1:], truth, predicted, strict=True):
        masks = CaseMasks.of(true, claimed, spacing, ignored)
        values = {metric.key: metric.value(masks) for metric in metrics_of(CaseMetric)}
        sizes = {"truth": masks.true_pixels, "predicted": masks.predicted_pixels, "state": masks.state}
        rows.append({"predictor": predictor, "case": case, "group": group, "class": name, **values, **sizes})
    return rows


def write_cases(store: Store, rows: Iterable[dict[str, Any]]) -> pa.Table:
    """Write `cases.parquet` and `cases.csv`; returns the table, in the order of the rows."""
    table = pa.Table.from_pylist(list(rows), schema=schema())
    store.write_table(FILE, table)
    write_csv(store, "cases.csv", table)
    return table


def write_csv(store: Store, name: str, table: pa.Table) -> None:
    csv.write_csv(table, buffer := io.BytesIO())
    store.write_bytes(name, buffer.getvalue())


def summarise(
    table: pa.Table, classes: Sequence[str], *, split: str, unit: str, dimension: int
) -> dict[str, Any]:
    """The masks' part of `summary.json`: by predictor and foreground class, and for their mean, all metrics.

    `unit` is "px" or "mm". "mean" is first taken over the classes of a case, so that all cases weigh alike.
    """
    predictors = {
        name: _summarise_predictor(table.filter(pc.field("predictor") == name), classes)
        for name in table["predictor"].unique().to_pylist()
    }
    described = {"split": split, "unit": unit, "dimension": dimension, "cases": len(table["case"].unique())}
    return described | {"interval": METHOD, "predictors": predictors}


def _summarise_predictor(table: pa.Table, classes: Sequence[str]) -> dict[str, dict[str, dict[str, float]]]:
    names, keys = list(classes[1:]), [metric.key for metric in metrics_of(CaseMetric)]
    groups = groups_of(table)
    values = with_mean(case_values(table, list(groups), names, keys))
    intervals = iter(mean_intervals(values.reshape(len(values), -1), list(groups.values())))
    return {name: {key: asdict(next(intervals)) for key in keys} for name in [*names, "mean"]}


def groups_of(table: pa.Table, column: str = "case") -> dict[str, str]:
    """The group of each case, in the order of a table."""
    return dict(zip(table[column].to_pylist(), table["group"].to_pylist(), strict=True))


def case_values(table: pa.Table, cases: Sequence[str], classes: Sequence[str], keys: list[str]) -> Numbers:
    """Columns of one predictor's rows as `[cases, classes, keys]`, in these orders."""
    row, column = ({name: i for i, name in enumerate(names)} for names in (cases, classes))
    values = np.full((len(cases), len(classes), len(keys)), np.nan)
    for entry in table.select(["case", "class", *keys]).to_pylist():
        values[row[entry["case"]], column[entry["class"]]] = [entry[key] for key in keys]
    assert not np.isnan(values).any(), "an evaluation lacks a case or a class"
    return values


def with_mean(values: Numbers) -> Numbers:
    """Values `[cases, classes, ...]` with the mean over the classes as one more."""
    return np.concatenate([values, values.mean(axis=1, keepdims=True)], axis=1)
