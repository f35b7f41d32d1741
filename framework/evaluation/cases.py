"""The per-case table: a row per predictor, case and class, a column per metric of cases; and its summary."""

from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from framework.core.storage import Store
from framework.core.tables_csv import csv_text
from framework.evaluation.case_scores import CaseScores
from framework.metrics.base import CaseMetric
from framework.metrics.bootstrap import METHOD
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
    store.write_text(name, csv_text(table.to_pylist(), table.column_names))


def summarise(
    table: pa.Table, classes: Sequence[str], *, split: str, unit: str, dimension: int
) -> dict[str, Any]:
    """The masks' part of `summary.json`: by predictor, foreground class and for their mean, all scores.

    `unit` is "px" or "mm". A mean is over the cases that have the class, that over classes is of those; where
    some cases lack a class, `reference` holds what a model scores that predicts nothing.
    """
    groups, predictors = groups_of(table), table["predictor"].unique().to_pylist()
    scores = {
        name: CaseScores.of([table.filter(pc.field("predictor") == name)], groups, classes[1:])
        for name in predictors
    }
    first = scores[predictors[0]]
    described = {"split": split, "unit": unit, "dimension": dimension}
    described |= {"cases": len(groups), "groups": len(set(groups.values())), "interval": METHOD}
    described |= {"predictors": {name: each.structures() for name, each in scores.items()}}
    return described | ({"reference": first.of_silence().structures()} if first.clean else {})


def groups_of(table: pa.Table, column: str = "case") -> dict[str, str]:
    """The group of each case, in the order of a table."""
    return dict(zip(table[column].to_pylist(), table["group"].to_pylist(), strict=True))
