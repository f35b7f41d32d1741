"""The table of a comparison as Markdown and as CSV."""

from __future__ import annotations

import csv
import io
from typing import Any

from framework.experiments.compare.pooled_scores import Row
from framework.reporting.comparison_page import median_seconds, time_to_target

NOTHING = "–"


def markdown(found: dict[str, Any]) -> str:
    """The table with a line above that says what it holds; `found` is the content of `table.json`."""
    target, against = found["target_dice"], f"against {found['control']}"
    heads = ["recipe", "predictor"]
    heads += ["Dice", *found["classes"], against] if found["classes"] else []
    heads += [head for name in found.get("figures", {}) for head in (name, f"{name} {against}")]
    heads += ["s / step", *([f"time to {target:g}"] if target is not None else []), "parameters", "peak MB"]
    lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    lines += [f"| {' | '.join(_cells(row, found))} |" for row in found["rows"]]
    return "\n".join([summary(found), "", *lines, ""])


def summary(found: dict[str, Any]) -> str:
    """What the numbers are means of."""
    seeds = ", ".join(map(str, found["seeds"]))
    parts = [f"Dice [95 % interval] over {found['cases']} cases"] if found["classes"] else []
    parts += [
        f"{name} [95 % interval] over {images} images" for name, images in found.get("figures", {}).items()
    ]
    return f"{', '.join(parts)} of {found['split']} and seed{'s' * (len(found['seeds']) > 1)} {seeds}"


def headline(scores: dict[str, Any]) -> str:
    """The scores of one evaluation on a line, from its `summary.json`: Dice of its first predictor, AUPR, AUC of each target."""
    parts = [
        f"Dice {held['mean']['dice']['mean']:.3f} ({name})"
        for name, held in list(scores.get("predictors", {}).items())[:1]
    ]
    areas = {"AUPR": scores.get("lesions", {}).get("mean", {}).get("aupr")}
    areas |= {f"{name} AUC": held["auc"] for name, held in scores.get("targets", {}).items()}
    parts += [f"{name} {area['mean']:.3f}" for name, area in areas.items() if area]
    return f"{', '.join(parts)} over {scores['cases']} cases of {scores['split']}"


def csv_text(found: dict[str, Any]) -> str:
    """One line per row, each number in a column of its own; an empty field is what a row does not have."""
    records = [_record(row, found) for row in found["rows"]]
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(records[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return buffer.getvalue()


def _cells(row: Row, found: dict[str, Any]) -> list[str]:
    cells = [row["recipe"], row["predictor"] or NOTHING]
    cells += _dice_cells(row, found["classes"]) if found["classes"] else []
    for name in found.get("figures", {}):
        figure = row["figures"].get(name)
        cells += [_interval(figure), _signed(figure["difference"] if figure else None)]
    cells.append(f"{row['seconds_per_step']:.3f}")
    if found["target_dice"] is not None:
        cells.append(NOTHING if row["target_seconds"] is None else time_to_target(row["target_seconds"]))
    memory = row["peak_memory_mb"]
    return [*cells, f"{row['parameters']:,}", NOTHING if memory is None else f"{memory:,.0f}"]


def _dice_cells(row: Row, classes: list[str]) -> list[str]:
    if row["dice"] is None:
        return [NOTHING] * (len(classes) + 2)
    means = [f"{row['dice'][name]['mean']:.3f}" for name in classes]
    return [_interval(row["dice"]["mean"]), *means, _signed(row["difference"])]


def _interval(held: Row | None) -> str:
    return NOTHING if held is None else "{mean:.3f} [{low:.3f}, {high:.3f}]".format(**held)


def _signed(held: Row | None) -> str:
    return NOTHING if held is None else "{mean:+.3f} [{low:+.3f}, {high:+.3f}]".format(**held)


def _record(row: Row, found: dict[str, Any]) -> dict[str, Any]:
    record = {"recipe": row["recipe"], "predictor": row["predictor"]}
    record |= _dice_record(row, found["classes"]) if found["classes"] else {}
    for name in found.get("figures", {}):
        figure = row["figures"].get(name) or {}
        record |= _ends(name, figure) | _ends(f"{name} difference", figure.get("difference"))
    record["seconds per step"] = row["seconds_per_step"]
    record["seconds to target"] = median_seconds(row["target_seconds"]) if row["target_seconds"] else None
    return record | {"parameters": row["parameters"], "peak memory MB": row["peak_memory_mb"]}


def _dice_record(row: Row, classes: list[str]) -> dict[str, Any]:
    dice, difference = row["dice"] or {}, row["difference"] or {}
    record = _ends("dice", dice.get("mean"))
    for name in classes:
        record |= _ends(f"dice {name}", dice.get(name))
    return record | _ends("difference", difference) | {"against": difference.get("against")}


def _ends(name: str, held: Row | None) -> dict[str, float | None]:
    """Three columns: a mean and the ends of its interval."""
    held = held or {}
    return {name: held.get("mean"), f"{name} low": held.get("low"), f"{name} high": held.get("high")}
