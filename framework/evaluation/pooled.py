"""Scores of structures that may overlap: a table of what each image contributes, and its summary."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from framework.core.labels import IGNORE
from framework.core.storage import Store
from framework.corpus.reader import Sample
from framework.metrics.base import Numbers, PooledMetric
from framework.metrics.bootstrap import resamples, spread_interval
from framework.metrics.registry import metrics_of

FILE = "pooled.parquet"


def pooled_rows(sample: Sample, probability: Tensor, classes: Sequence[str]) -> list[dict[str, Any]]:
    """A row per class but the background, of one image with a mask, from probabilities `[K, H, W]`: pixels of
    the class in the truth, and what the image contributes to each metric."""
    assert sample.mask is not None
    truth, known = torch.from_numpy(sample.planes(len(probability))), torch.from_numpy(sample.mask != IGNORE)
    columns = {m.key: m.update(probability[1:], truth, known) for m in metrics_of(PooledMetric)}
    return [
        {"id": sample.id, "group": sample.group, "class": name, "truth": int(plane[known].sum())}
        | {key: part[k].flatten().numpy() for key, part in columns.items()}
        for k, (name, plane) in enumerate(zip(classes[1:], truth, strict=True))
    ]


def write_pooled(store: Store, rows: Iterable[dict[str, Any]]) -> pa.Table:
    """Write `pooled.parquet`; returns the table, image after image, each with all classes in their order."""
    table = pa.Table.from_pylist(list(rows))
    store.write_table(FILE, table)
    return table


def classes_and_groups(table: pa.Table) -> tuple[list[str], list[str]]:
    """The classes, and the group of each image."""
    classes = table["class"].unique().to_pylist()
    return classes, table["group"].to_pylist()[:: len(classes)]


def contributions(table: pa.Table, metric: PooledMetric) -> NDArray[np.number]:
    """What N images contribute to a metric, `[N, K-1, *shape]`."""
    values = table[metric.key].combine_chunks().flatten().to_numpy()
    return values.reshape(-1, len(table["class"].unique()), *metric.shape)


def pooled_values(metric: PooledMetric, parts: NDArray[np.number], weight: Numbers) -> Numbers:
    """Each class's value, and at last the mean of those that have one, `[R, K]`, by weights `[R, N]`."""
    sums = (weight @ part.reshape(len(part), -1) for part in parts.swapaxes(0, 1))
    columns = [metric.compute(each.reshape(-1, *metric.shape)) for each in sums]
    defined = np.isfinite(columns).sum(0)
    mean = np.where(defined, np.nansum(columns, axis=0) / np.maximum(defined, 1), np.nan)
    return np.stack([*columns, mean], axis=1)


def summarise_pooled(table: pa.Table) -> dict[str, Any]:
    """By class, and for their mean: images with it, and metrics with intervals, None where undefined."""
    classes, groups = classes_and_groups(table)
    weights = np.ones((1, len(groups))), resamples(groups)
    shown = table["truth"].to_numpy().reshape(-1, len(classes)) > 0
    counts = zip([*classes, "mean"], [*shown.sum(0).tolist(), int(shown.any(1).sum())], strict=True)
    summary: dict[str, Any] = {name: {"images": count} for name, count in counts}
    for metric in metrics_of(PooledMetric):
        parts = contributions(table, metric)
        (values,), spread = (pooled_values(metric, parts, weight) for weight in weights)
        for entry, value, column in zip(summary.values(), values, spread.T, strict=True):
            entry[metric.key] = spread_interval(value, column)
    return summary
