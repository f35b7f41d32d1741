"""What the report shows of a comparison; `comparison.html.j2` sets it."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from framework.core.storage import Store
from framework.imaging.overlay import colour_of, data_address
from framework.metrics.bootstrap import Interval
from framework.reporting.charts import COLOURS, Frame, coloured, line_chart
from framework.reporting.forest import Forest, forest_plot
from framework.reporting.sources import Artifact
from framework.training.metric_log import MEASURES

Entry = dict[str, Any]

CURVES = Frame(680, 280)


def comparison_entry(artifact: Artifact) -> Entry:
    """A comparison's tables, forest plot, curves, pictures and configurations, from its artifact alone."""
    found = artifact.store.read_json("table.json")
    recipes = list(found["curves"])
    styles = {
        name: {"colour": i % COLOURS, "dashed": i // COLOURS % 2 == 1} for i, name in enumerate(recipes)
    }
    return found | {
        "recipes": recipes,
        "styles": styles,
        "classes": [
            {"name": name, "colour": colour_of(i)} for i, name in enumerate(found["classes"], start=1)
        ],
        "best": max(
            (row for row in found["rows"] if row["dice"]),
            key=lambda row: row["dice"]["mean"]["mean"],
            default=None,
        ),
        "figures": found.get("figures", {}),
        "costs": costs(found),
        "forest": forest_of(found, styles),
        "charts": curves_of(found),
        "pictures": pictures_of(artifact.store),
        "configurations": {name: artifact.store.read_text(f"recipes/{name}.yaml") for name in recipes},
        "parents": artifact.parents,
    }


def costs(found: Entry) -> list[Entry]:
    """One entry per recipe; its rows hold the same costs."""
    first = {row["recipe"]: row for row in reversed(found["rows"])}
    return [first[name] | {"target": target_text(first[name])} for name in found["curves"]]


def target_text(row: Entry) -> str | None:
    return None if row["target_seconds"] is None else time_to_target(row["target_seconds"])


def forest_of(found: Entry, styles: dict[str, Entry]) -> Forest | None:
    """The differences to the control; None when there is nothing but the control."""
    rows = [row for row in found["rows"] if row["difference"]]
    ends = [Interval(*(row["difference"][key] for key in ("mean", "low", "high"))) for row in rows]
    names = [(row["recipe"], row["predictor"], styles[row["recipe"]]["colour"]) for row in rows]
    return forest_plot([(*name, held) for name, held in zip(names, ends, strict=True)]) if rows else None


def curves_of(found: Entry) -> list[Any]:
    """A chart for each score of validations that has points: the recipes that are judged by it."""
    charts = [_chart(found, measure) for measure in MEASURES]
    return [chart for chart in charts if chart]


def _chart(found: Entry, measure: str) -> Any:
    """The validation scores of one name by step, the target marked in that of Dice; None where there are none."""
    measures = found.get("measures", dict.fromkeys(found["curves"], "Dice"))
    shown = {name: points if measures[name] == measure else [] for name, points in found["curves"].items()}
    series = coloured((name, [tuple(point) for point in points]) for name, points in shown.items())
    target = found["target_dice"] if measure == "Dice" else None
    include = () if target is None else (target,)
    return line_chart(f"Validation {measure}", series, CURVES, include, reference=target) if series else None


def pictures_of(store: Store) -> Entry:
    shown = store.read_json("pictures.json")
    cases = [entry | {"data": data_address(store.read_bytes(entry["file"]))} for entry in shown["cases"]]
    return shown | {"cases": cases}


def time_to_target(seconds: list[float | None]) -> str:
    """`92 s`, `not reached`, with the number of seeds that reached it where that is not all."""
    middle = median_seconds(seconds)
    reached = sum(value is not None for value in seconds)
    share = f" ({reached} of {len(seconds)} seeds)" if 0 < reached < len(seconds) else ""
    return ("not reached" if middle is None else f"{middle:,.0f} s") + share


def median_seconds(seconds: Sequence[float | None]) -> float | None:
    """The median over seeds, where a target that was not reached counts as infinitely long; None when that is the median."""
    found = statistics.median(float("inf") if value is None else value for value in seconds)
    return None if found == float("inf") else found
