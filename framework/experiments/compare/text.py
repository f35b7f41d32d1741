"""The table of a comparison as Markdown and as CSV; `table` is the content of `table.json`."""

import csv
import io
from collections.abc import Iterator
from typing import Any

from framework.experiments.compare.pooled_scores import Row
from framework.metrics.base import CaseMetric, Metric
from framework.metrics.registry import METRICS, metrics_of
from framework.reporting.comparison_page import median_seconds, time_to_target

NOTHING = "–"


def markdown(table: Row) -> str:
    """The table with a line above that says what it holds."""
    target, against = table["target_dice"], f"against {table['control']}"
    heads = ["recipe", "predictor"]
    for metric, prefix in columns(table):
        heads += [metric.name, *(f"{prefix}{name}" for name in [*table["classes"], against])]
    heads += [head for name in table["pooled"] for head in (name, f"{name} {against}")]
    heads += ["s / step", *([f"time to {target:g}"] if target is not None else []), "parameters", "peak MB"]
    lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    lines += [f"| {' | '.join(_cells(row, table))} |" for row in table["rows"]]
    return "\n".join([summary(table), "", *lines, ""])


def columns(table: Row) -> list[tuple[Metric, str]]:
    """The metrics of cases that have columns, and what the columns' names begin with where several have."""
    metrics = metrics_of(CaseMetric, table["metrics"])
    return [(metric, f"{metric.name} " if len(metrics) > 1 else "") for metric in metrics]


def summary(table: Row) -> str:
    """What the numbers are means of."""
    seeds = ", ".join(map(str, table["seeds"]))
    counts = {metric.name: f"{table['cases']} cases" for metric, _ in columns(table)}
    counts |= {name: f"{score['images']} images" for name, score in table["pooled"].items()}
    parts = [f"{name} [95 % interval] over {count}" for name, count in counts.items()]
    return f"{', '.join(parts)} of {table['split']} and seed{'s' * (len(table['seeds']) > 1)} {seeds}"


def csv_text(table: Row) -> str:
    """One line per row, each number in a column of its own; an empty field is what a row does not have."""
    records = [_record(row, table) for row in table["rows"]]
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(records[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return buffer.getvalue()


def _cells(row: Row, table: Row) -> list[str]:
    cells = [row["recipe"], row["predictor"] or NOTHING]
    for metric, _ in columns(table):
        cells += _case_cells(metric, row["scores"].get(metric.key), table["classes"])
    for name, described in table["pooled"].items():
        score, metric = row["pooled"].get(name), METRICS[described["metric"]]
        cells += [_text(metric, score), _text(metric, score and score["difference"], "+")]
    cells.append(f"{row['seconds_per_step']:.3f}")
    if table["target_dice"] is not None:
        cells.append(NOTHING if row["target_seconds"] is None else time_to_target(row["target_seconds"]))
    memory = row["peak_memory_mb"]
    return [*cells, f"{row['parameters']:,}", NOTHING if memory is None else f"{memory:,.0f}"]


def _case_cells(metric: Metric, scores: Row | None, classes: list[str]) -> Iterator[str]:
    if scores is None:
        yield from [NOTHING] * (len(classes) + 2)
        return
    yield metric.text(scores["classes"]["mean"])
    yield from (metric.number(scores["classes"][name]["mean"]) for name in classes)
    yield _text(metric, scores["difference"], "+")


def _text(metric: Metric, interval: Row | None, sign: str = "") -> str:
    return NOTHING if interval is None else metric.text(interval, sign)


def _record(row: Row, table: Row) -> dict[str, Any]:
    record = {"recipe": row["recipe"], "predictor": row["predictor"]}
    for metric, prefix in columns(table):
        record |= _case_record(row["scores"].get(metric.key) or {}, metric.key, prefix, table["classes"])
    for name in table["pooled"]:
        score = row["pooled"].get(name) or {}
        record |= _ends(name, score) | _ends(f"{name} difference", score.get("difference"))
    record["seconds per step"] = row["seconds_per_step"]
    record["seconds to target"] = median_seconds(row["target_seconds"]) if row["target_seconds"] else None
    return record | {"parameters": row["parameters"], "peak memory MB": row["peak_memory_mb"]}


def _case_record(scores: Row, key: str, prefix: str, classes: list[str]) -> Row:
    means, difference = scores.get("classes", {}), scores.get("difference") or {}
    record = _ends(key, means.get("mean"))
    for name in classes:
        record |= _ends(f"{key} {name}", means.get(name))
    return record | _ends(f"{prefix}difference", difference) | {f"{prefix}against": difference.get("against")}


def _ends(name: str, interval: Row | None) -> Row:
    """Three columns: a mean and the ends of its interval."""
    ends = interval or {}
    return {name: ends.get("mean"), f"{name} low": ends.get("low"), f"{name} high": ends.get("high")}
