"""What the report shows of a comparison; `comparison.html.j2` sets it."""

import statistics
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel

from framework.core.artifact import read_part
from framework.core.storage import Store
from framework.evaluation.text import over_all_head
from framework.metrics.base import CaseMetric, Metric
from framework.metrics.bootstrap import Interval
from framework.metrics.registry import METRICS, metrics_of
from framework.reporting.charts import Chart, Frame, coloured, line_chart, style
from framework.reporting.forest import Forest, forest_plot
from framework.reporting.sources import Artifact, Picture, class_colours, with_data

Entry = dict[str, Any]
CURVES = Frame(680, 280)
FILE = "table.json"


class Comparison(BaseModel):
    """The outer shape of `table.json`."""

    name: str
    split: str
    corpus: str
    cases: int
    groups: int
    classes: list[str]
    seeds: list[int]
    control: str
    target_dice: float | None
    interval: str
    metrics: list[str]
    reference: Entry | None
    pooled: dict[str, Entry]
    rows: list[Entry]
    judged_by: dict[str, str | None]
    curves: dict[str, list[tuple[int, float]]]
    verdicts: list[Entry]
    notices: list[str]


class Shown(BaseModel):
    """What a comparison's `pictures.json` holds."""

    rule: str
    metric: str
    seed: int
    cases: list[Picture]


def read_comparison(folder: Store) -> Entry:
    """The table of a comparison; raises `StorageError` where it is something else."""
    return dict(read_part(folder, FILE, Comparison))


def comparison_entry(artifact: Artifact) -> Entry:
    """A comparison's tables, forest plots, curves, pictures and configurations, from its artifact alone."""
    table = read_comparison(artifact.store)
    recipes, metrics = list(table["curves"]), metrics_of(CaseMetric, table["metrics"])
    styles = {name: style(i) for i, name in enumerate(recipes)}
    forests = [(metric, forest_of(table, metric, styles)) for metric in metrics]
    pooled = {name: score for name, score in table["pooled"].items() if score["metric"] in METRICS}
    shown = read_part(artifact.store, "pictures.json", Shown)
    cases = {"cases": with_data(artifact.store, map(dict, shown.cases)), "metric": METRICS[shown.metric]}
    return table | {
        "recipes": recipes,
        "styles": styles,
        "metrics": metrics,
        "over_all": {metric.key: over_all_head(metric) for metric in metrics},
        "pooled": {name: score | {"metric": METRICS[score["metric"]]} for name, score in pooled.items()},
        "classes": class_colours(table["classes"]),
        "costs": costs(table),
        "forests": [(metric, forest) for metric, forest in forests if forest],
        "charts": curves_of(table),
        "pictures": dict(shown) | cases,
        "configurations": {name: artifact.store.read_text(f"recipes/{name}.yaml") for name in recipes},
        "parents": artifact.parents,
    }


def costs(table: Entry) -> list[Entry]:
    """A row per recipe: all have the same costs, the first its pooled scores."""
    first = {row["recipe"]: row for row in reversed(table["rows"])}
    rows = [(first[name], first[name]["target_seconds"]) for name in table["curves"]]
    return [row | {"target": seconds and time_to_target(seconds)} for row, seconds in rows]


def forest_of(table: Entry, metric: Metric, styles: dict[str, Entry]) -> Forest | None:
    """The differences to the control; None when there is nothing but the control."""
    entries = []
    for row in table["rows"]:
        if difference := row["scores"].get(metric.key, {}).get("difference"):
            interval = Interval(*(difference[key] for key in ("mean", "low", "high")))
            entries.append((row["recipe"], row["predictor"], styles[row["recipe"]]["colour"], interval))
    return forest_plot(entries) if entries else None


def curves_of(table: Entry) -> list[tuple[Metric, Chart]]:
    """The validation scores by step for each metric that judges recipes, Dice's with the target marked."""
    charts, judged, curves = [], table["judged_by"], table["curves"].items()
    for metric in METRICS.values():
        target = table["target_dice"] if metric.key == "dice" else None
        include = (0.0,) if target is None else (0.0, target)
        series = coloured((name, points if judged[name] == metric.key else []) for name, points in curves)
        if series:
            chart = line_chart(f"Validation {metric.name}", series, CURVES, include, reference=target)
            charts.append((metric, chart))
    return charts


def time_to_target(seconds: list[float | None]) -> str:
    """`92 s`, `not reached`, with the number of seeds that reached it where that is not all."""
    middle = median_seconds(seconds)
    reached = sum(value is not None for value in seconds)
    share = f" ({reached} of {len(seconds)} seeds)" if 0 < reached < len(seconds) else ""
    return ("not reached" if middle is None else f"{middle:,.0f} s") + share


def median_seconds(seconds: Sequence[float | None]) -> float | None:
    """The median over seeds, where a target not reached counts as infinitely long; None for such a median."""
    middle = statistics.median(float("inf") if value is None else value for value in seconds)
    return None if middle == float("inf") else middle
