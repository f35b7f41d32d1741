"""The table of a comparison as Markdown and as CSV; `table` is the content of `table.json`."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from framework.core import tables_csv
from framework.evaluation.case_scores import MEAN
from framework.evaluation.text import of, over_all_head
from framework.experiments.compare.verdict import Row
from framework.metrics.base import CaseMetric, Metric, OverlapMetric
from framework.metrics.registry import METRICS, metrics_of
from framework.reporting.comparison_page import median_seconds, time_to_target

NOTHING = "–"
BRACKETS = "in brackets: found in how many cases and seeds, false alarms in how many without it"


class Cell(NamedTuple):
    """A cell of the Markdown, which has none without a head, and its columns in the CSV."""

    head: str
    text: str
    fields: Row


def markdown(table: Row) -> str:
    """The verdicts, what must not be overlooked, and the table under a line that says what it holds."""
    rows = [[cell for cell in _cells(row, table) if cell.head] for row in all_rows(table)]
    heads = [cell.head for cell in rows[0]]
    texts = [f"| {' | '.join(cell.text for cell in row)} |" for row in rows]
    verdicts = [line for each in table["verdicts"] for line in (each["sentence"], *each["details"])]
    told = [f"* {line}" for line in (*verdicts, *table["notices"])]
    ruled = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}", *texts]
    return "\n".join([*told, "", summary(table), "", *ruled, ""])


def all_rows(table: Row) -> list[Row]:
    """The rows, and at last that of a model that predicts nothing, where it could score by that."""
    if table["reference"] is None:
        return table["rows"]
    structures: Row = table["reference"]
    metrics = metrics_of(OverlapMetric, table["metrics"])
    scores = {metric.key: _silent(structures, metric.key) for metric in metrics}
    costs = dict.fromkeys(("seconds_per_step", "target_seconds", "parameters", "peak_memory_mb"))
    row = {"recipe": "predicts nothing", "predictor": None, "scores": scores, "counts": structures}
    return [*table["rows"], row | {"pooled": {}} | costs]


def _silent(structures: Row, key: str) -> Row:
    means = {name: each[key] for name, each in structures.items()}
    return {"classes": means, "all_cases": structures[MEAN]["all_cases"][key], "difference": None}


def csv_text(table: Row) -> str:
    """One line per row, each number in a column of its own; an empty field is what a row does not have."""
    records = [
        {k: v for cell in _cells(row, table) for k, v in cell.fields.items()} for row in all_rows(table)
    ]
    return tables_csv.csv_text(records, list(records[0]))


def summary(table: Row) -> str:
    """What the numbers are means of."""
    seeds = ", ".join(map(str, table["seeds"]))
    having = f"those of {table['cases']} cases that have the structure"
    counts = {metric.name: having for metric in metrics_of(CaseMetric, table["metrics"])}
    counts |= {name: f"{score['images']} images" for name, score in table["pooled"].items()}
    parts = [f"{name} [95 % interval] over {count}" for name, count in counts.items()]
    line = f"{', '.join(parts)} of {table['split']} and seed{'s' * (len(table['seeds']) > 1)} {seeds}"
    return line + (f"; {BRACKETS}" if table["metrics"] else "")


def _cells(row: Row, table: Row) -> Iterator[Cell]:
    yield Cell("recipe", row["recipe"], {"recipe": row["recipe"]})
    yield Cell("predictor", row["predictor"] or NOTHING, {"predictor": row["predictor"]})
    metrics = metrics_of(CaseMetric, table["metrics"])
    for metric in metrics:
        scores = row["scores"].get(metric.key, {"classes": {}, "difference": None, "all_cases": None})
        prefix = f"{metric.name} " if len(metrics) > 1 else ""
        yield from _case_cells(metric, scores, row.get("counts", {}), table, prefix)
    for name, described in table["pooled"].items():
        score, metric = row["pooled"].get(name), METRICS[described["metric"]]
        yield _interval(name, metric, name, score)
        head, difference = f"{name} against {table['control']}", score and score["difference"]
        yield _interval(head, metric, f"{name} difference", difference, "+")
    yield from _costs(row, table["target_dice"])


def _case_cells(metric: CaseMetric, scores: Row, counts: Row, table: Row, prefix: str) -> Iterator[Cell]:
    means, difference = scores["classes"], scores["difference"]
    yield _interval(metric.name, metric, metric.key, means.get(MEAN))
    for name in table["classes"]:
        yield _class_cell(metric, name, means, counts, prefix)
    cell = _interval(f"{prefix}against {table['control']}", metric, f"{prefix}difference", difference, "+")
    yield cell._replace(fields=cell.fields | {f"{prefix}against": difference and difference["against"]})
    if table["reference"]:
        yield _interval(over_all_head(metric), metric, f"{metric.key} over all cases", scores["all_cases"])


def _class_cell(metric: CaseMetric, name: str, means: Row, counts: Row, prefix: str) -> Cell:
    """The mean of a class, and in brackets what was found and falsely claimed."""
    fields = _ends(f"{metric.key} {name}", means.get(name))
    count = counts.get(name, {"found": [None] * 2, "false_alarms": [None] * 2})
    for what, key in (("found", "found"), ("false alarms", "false_alarms")):
        fields |= {f"{prefix}{name} {what}": count[key][0], f"{prefix}{name} {what} of": count[key][1]}
    if not means:
        return Cell(f"{prefix}{name}", NOTHING, fields)
    value = metric.number(means[name]["mean"]) if means[name] else metric.undefined
    alarms = f"; {of(count['false_alarms'])}" if count["false_alarms"][1] else ""
    return Cell(f"{prefix}{name}", f"{value} ({of(count['found'])}{alarms})", fields)


def _costs(row: Row, target: float | None) -> Iterator[Cell]:
    step, seconds, memory = row["seconds_per_step"], row["target_seconds"], row["peak_memory_mb"]
    yield Cell("s / step", NOTHING if step is None else f"{step:.3f}", {"seconds per step": step})
    text, median = (time_to_target(seconds), median_seconds(seconds)) if seconds else (NOTHING, None)
    yield Cell("" if target is None else f"time to {target:g}", text, {"seconds to target": median})
    parameters = row["parameters"]
    yield Cell("parameters", NOTHING if parameters is None else f"{parameters:,}", {"parameters": parameters})
    yield Cell("peak MB", NOTHING if memory is None else f"{memory:,.0f}", {"peak memory MB": memory})


def _interval(head: str, metric: Metric, name: str, interval: Row | None, sign: str = "") -> Cell:
    text = NOTHING if interval is None else metric.text(interval, sign)
    return Cell(head, text, _ends(name, interval))


def _ends(name: str, interval: Row | None) -> dict[str, Any]:
    """Three columns: a mean and the ends of its interval."""
    ends = interval or {}
    return {name: ends.get("mean"), f"{name} low": ends.get("low"), f"{name} high": ends.get("high")}
