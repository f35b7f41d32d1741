"""The table of a comparison as Markdown and as CSV; `table` is the content of `table.json`."""

import csv
import io
from collections.abc import Iterator
from typing import Any, NamedTuple

from framework.experiments.compare.pooled_scores import Row
from framework.metrics.base import CaseMetric, Metric
from framework.metrics.registry import METRICS, metrics_of
from framework.reporting.comparison_page import median_seconds, time_to_target

NOTHING = "–"


class Cell(NamedTuple):
    """A cell of the Markdown, which has none without a head, and its columns in the CSV."""

    head: str
    text: str
    fields: Row


def markdown(table: Row) -> str:
    """The table with a line above that says what it holds."""
    rows = [[cell for cell in _cells(row, table) if cell.head] for row in table["rows"]]
    heads = [cell.head for cell in rows[0]]
    texts = [f"| {' | '.join(cell.text for cell in row)} |" for row in rows]
    return "\n".join([summary(table), "", f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}", *texts, ""])


def csv_text(table: Row) -> str:
    """One line per row, each number in a column of its own; an empty field is what a row does not have."""
    records = [{k: v for cell in _cells(row, table) for k, v in cell.fields.items()} for row in table["rows"]]
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(records[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return buffer.getvalue()


def summary(table: Row) -> str:
    """What the numbers are means of."""
    seeds = ", ".join(map(str, table["seeds"]))
    counts = {metric.name: f"{table['cases']} cases" for metric in metrics_of(CaseMetric, table["metrics"])}
    counts |= {name: f"{score['images']} images" for name, score in table["pooled"].items()}
    parts = [f"{name} [95 % interval] over {count}" for name, count in counts.items()]
    return f"{', '.join(parts)} of {table['split']} and seed{'s' * (len(table['seeds']) > 1)} {seeds}"


def _cells(row: Row, table: Row) -> Iterator[Cell]:
    yield Cell("recipe", row["recipe"], {"recipe": row["recipe"]})
    yield Cell("predictor", row["predictor"] or NOTHING, {"predictor": row["predictor"]})
    metrics = metrics_of(CaseMetric, table["metrics"])
    for metric in metrics:
        scores = row["scores"].get(metric.key, {"classes": {}, "difference": None})
        yield from _case_cells(metric, scores, table, f"{metric.name} " if len(metrics) > 1 else "")
    for name, described in table["pooled"].items():
        score, metric = row["pooled"].get(name), METRICS[described["metric"]]
        yield _interval(name, metric, name, score)
        head, difference = f"{name} against {table['control']}", score and score["difference"]
        yield _interval(head, metric, f"{name} difference", difference, "+")
    yield from _costs(row, table["target_dice"])


def _case_cells(metric: Metric, scores: Row, table: Row, prefix: str) -> Iterator[Cell]:
    means, difference = scores["classes"], scores["difference"]
    yield _interval(metric.name, metric, metric.key, means.get("mean"))
    for name in table["classes"]:
        text = metric.number(means[name]["mean"]) if means else NOTHING
        yield Cell(f"{prefix}{name}", text, _ends(f"{metric.key} {name}", means.get(name)))
    cell = _interval(f"{prefix}against {table['control']}", metric, f"{prefix}difference", difference, "+")
    yield cell._replace(fields=cell.fields | {f"{prefix}against": difference and difference["against"]})


def _costs(row: Row, target: float | None) -> Iterator[Cell]:
    step, seconds, memory = row["seconds_per_step"], row["target_seconds"], row["peak_memory_mb"]
    yield Cell("s / step", f"{step:.3f}", {"seconds per step": step})
    text, median = (time_to_target(seconds), median_seconds(seconds)) if seconds else (NOTHING, None)
    yield Cell("" if target is None else f"time to {target:g}", text, {"seconds to target": median})
    yield Cell("parameters", f"{row['parameters']:,}", {"parameters": row["parameters"]})
    yield Cell("peak MB", NOTHING if memory is None else f"{memory:,.0f}", {"peak memory MB": memory})


def _interval(head: str, metric: Metric, name: str, interval: Row | None, sign: str = "") -> Cell:
    text = NOTHING if interval is None else metric.text(interval, sign)
    return Cell(head, text, _ends(name, interval))


def _ends(name: str, interval: Row | None) -> dict[str, Any]:
    """Three columns: a mean and the ends of its interval."""
    ends = interval or {}
    return {name: ends.get("mean"), f"{name} low": ends.get("low"), f"{name} high": ends.get("high")}
