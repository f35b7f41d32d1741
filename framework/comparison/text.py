"""The table of a comparison as Markdown and as CSV."""

from __future__ import annotations

import csv
import io
from typing import Any

from framework.comparison.table import Row, median_seconds

NOTHING = "–"


def markdown(found: dict[str, Any]) -> str:
    """The table with a line above that says what it holds; `found` is the content of `table.json`."""
    target = found["target_dice"]
    heads = ["recipe", "predictor", "Dice", *found["classes"], f"against {found['control']}", "s / step"]
    heads += [f"time to {target:g}"] if target is not None else []
    heads += ["parameters", "peak MB"]
    lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    lines += [f"| {' | '.join(_cells(row, found))} |" for row in found["rows"]]
    return "\n".join([summary(found), "", *lines, ""])


def summary(found: dict[str, Any]) -> str:
    """What the numbers are means of."""
    seeds = ", ".join(map(str, found["seeds"]))
    return f"Dice [95 % interval] over {found['cases']} cases of {found['split']} and seed{'s' * (len(found['seeds']) > 1)} {seeds}"


def time_to_target(seconds: list[float | None]) -> str:
    """`92 s`, `not reached`, with the number of seeds that reached it where that is not all."""
    middle = median_seconds(seconds)
    reached = sum(value is not None for value in seconds)
    share = f" ({reached} of {len(seconds)} seeds)" if 0 < reached < len(seconds) else ""
    return ("not reached" if middle is None else f"{middle:,.0f} s") + share


def csv_text(found: dict[str, Any]) -> str:
    """One line per row, each number in a column of its own; an empty field is what a row does not have."""
    records = [_record(row, found["classes"]) for row in found["rows"]]
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(records[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return buffer.getvalue()


def _cells(row: Row, found: dict[str, Any]) -> list[str]:
    mean, difference, memory = row["dice"]["mean"], row["difference"], row["peak_memory_mb"]
    cells = [row["recipe"], row["predictor"], f"{mean['mean']:.3f} [{mean['low']:.3f}, {mean['high']:.3f}]"]
    cells += [f"{row['dice'][name]['mean']:.3f}" for name in found["classes"]]
    cells.append(NOTHING if difference is None else "{mean:+.3f} [{low:+.3f}, {high:+.3f}]".format(**difference))
    cells.append(f"{row['seconds_per_step']:.3f}")
    cells += [time_to_target(row["target_seconds"])] if row["target_seconds"] is not None else []
    return [*cells, f"{row['parameters']:,}", NOTHING if memory is None else f"{memory:,.0f}"]


def _record(row: Row, classes: list[str]) -> dict[str, Any]:
    difference = row["difference"] or {}
    record = {"recipe": row["recipe"], "predictor": row["predictor"]}
    for name, key in (("dice", "mean"), *((f"dice {name}", name) for name in classes)):
        held = row["dice"][key]
        record |= {name: held["mean"], f"{name} low": held["low"], f"{name} high": held["high"]}
    names = {"difference": "mean", "difference low": "low", "difference high": "high", "against": "against"}
    record |= {name: difference.get(key) for name, key in names.items()}
    record["seconds per step"] = row["seconds_per_step"]
    record["seconds to target"] = median_seconds(row["target_seconds"]) if row["target_seconds"] else None
    return record | {"parameters": row["parameters"], "peak memory MB": row["peak_memory_mb"]}
