"""The report's section on DII's indicators: how far weak masks were trusted, how that went, and which were trusted least."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from framework.evaluation.charts import Series, line_chart
from framework.evaluation.pictures import data_address
from framework.evaluation.report_sources import Artefact

NAMES = ("least", "lower quartile", "median", "upper quartile", "largest")
BINS = 10


def indicator_entry(model: Artefact, log: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """What the template shows of a model's indicators, or None when it has none."""
    store = model.store / "indicators"
    if not store.exists("artefact.json"):
        return None
    weights = np.array(store.read_table("rows-00000.parquet")["weight"].to_pylist())
    counts, edges = np.histogram(weights, BINS, (0.0, 1.0))
    pictures = [entry | {"data": data_address(store.read_bytes(entry["file"]))} for entry in store.read_json("pictures.json")]
    return {
        "name": model.name,
        "images": len(weights),
        "mean": float(weights.mean()),
        "bins": [
            {"low": low, "high": high, "count": int(count), "share": count / len(weights)}
            for low, high, count in zip(edges[:-1], edges[1:], counts, strict=True)
        ],
        "chart": _development(log),
        "pictures": pictures,
    }


def _development(log: Sequence[dict[str, Any]]) -> Any:
    """Quantiles of all weights over steps."""
    found = [(r["step"], r["statistics"]["indicators"]) for r in log if "indicators" in r.get("statistics", {})]
    lines = [Series(name, [(step, values[i]) for step, values in found], i) for i, name in enumerate(NAMES)]
    return line_chart("Weights of all weak images", lines, include=(0.0, 1.0)) if found else None
