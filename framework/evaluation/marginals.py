"""The report's section on Co-DA's distributions: what each network expected of labelled and unlabelled pixels, over time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from framework.evaluation.charts import SMALL, Series, line_chart
from framework.evaluation.pictures import colour_of
from framework.evaluation.report_sources import Artefact


def statistics_of(log: Sequence[dict[str, Any]]) -> list[tuple[float, dict[str, Any]]]:
    """The records of Co-DA's distributions: (step, statistics)."""
    return [(r["step"], r["statistics"]) for r in log if "pi_labelled_1" in r.get("statistics", {})]


def marginal_entry(model: Artefact, log: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Per class, how the marginals of both networks, their ratio and the kept share went over time."""
    found = statistics_of(log)
    count = len(found[0][1]["pi_labelled_1"])
    names = model.store.read_json("model.json")["classes"] if model.store.exists("model.json") else range(count)
    rows = [{"class": str(name), "id": k, "colour": colour_of(k) if k else None} for k, name in enumerate(names)]
    for row in rows:
        row["charts"] = marginal_charts(found, row["id"])
    return {"name": model.name, "classes": rows}


def marginal_charts(found: Sequence[tuple[float, dict[str, Any]]], class_id: int) -> list[Any]:
    """Three charts of one class; network 2 is dashed."""

    def over_time(name: str, key: str, colour: int) -> list[Series]:
        networks = [i for i in (1, 2) if f"{key}_{i}" in found[0][1]]
        values = {i: [(step, held[f"{key}_{i}"][class_id]) for step, held in found] for i in networks}
        return [Series(f"{name}, network {i}", values[i], colour, dashed=i == 2) for i in networks]

    shares = over_time("labelled", "pi_labelled", 0) + over_time("unlabelled", "pi_unlabelled", 1)
    return [
        line_chart("Share of pixels", shares, SMALL),
        line_chart("Ratio", over_time("ratio", "ratio", 2), SMALL, include=(1.0,), reference=1.0),
        line_chart("Kept share", over_time("kept", "kept", 3), SMALL, include=(0.0, 1.0)),
    ]
