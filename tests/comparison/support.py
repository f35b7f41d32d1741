"""Models and evaluations with chosen scores, as folders, without any training."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from framework.comparison.table import Member, compared
from framework.comparison.text import csv_text, markdown
from framework.evaluation.cases import SCHEMA
from framework.evaluation.pictures import panels
from framework.storage import Store

CLASSES = ["disc", "ring"]

Dice = dict[str, NDArray[np.float64]]
"""By predictor, `[cases, classes]`."""


def log_of(*validations: tuple[int, float], seconds: float = 0.5) -> list[dict]:
    """A metric log of steps of equal length up to the last validation; validations are (step, mean Dice)."""
    steps = range(1, validations[-1][0] + 1) if validations else range(1, 5)
    scores = [{"step": step, "validation": {"dice": [], "mean": mean}} for step, mean in validations]
    return [{"step": step, "loss": 1 / step, "seconds": seconds} for step in steps] + scores


def member(root: Path, recipe: str, seed: int, dice: Dice, log: Sequence[dict] = (), memory: float | None = 100) -> Member:
    """Case i is that of patient i // 2."""
    model, evaluation = Store.at(root / f"{recipe}-{seed}"), Store.at(root / f"{recipe}-{seed}-val")
    counts = {"parameters": 1234567} | ({} if memory is None else {"peak_memory_mb": memory})
    model.write_json("artefact.json", {"counts": counts})
    model.write_text("metrics.jsonl", "\n".join(map(json.dumps, log or log_of((4, 0.5), (8, 0.7)))))
    evaluation.write_json("artefact.json", {"inputs": {"corpus": {"path": "data/eyes", "hash": "c"}}})
    evaluation.write_json("summary.json", {"split": "val"})
    evaluation.write_table("cases.parquet", case_table(dice))
    return Member(recipe, seed, model, evaluation)


def case_table(dice: Dice) -> pa.Table:
    """A per-case table of these scores."""
    rows = [
        {"predictor": name, "case": f"eye-{i}", "group": f"p{i // 2}", "class": CLASSES[k], "dice": float(value), "truth": 9}
        for name, values in dice.items()
        for (i, k), value in np.ndenumerate(values)
    ]
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def comparison_artefact(root: Path) -> Store:
    """A finished comparison of two recipes and two seeds with pictures."""
    rng = np.random.default_rng(0)
    base = rng.uniform(0.2, 0.7, (6, 2))
    members = []
    for seed in (0, 1):
        members.append(member(root, "plain <b>", seed, {"network 1": base}, log_of((4, 0.3), (8, 0.4 + seed / 10))))
        better = {"both": base + rng.uniform(0, 0.2, base.shape), "network 1": base + 0.01}
        members.append(member(root, "pair", seed, better))
    store = Store.at(root / "eyes-val")
    found = {"name": "eyes", **compared(members, "plain <b>", 0.45)}
    store.write_json("table.json", found)
    store.write_text("table.csv", csv_text(found))
    store.write_text("table.md", markdown(found))
    truth = np.zeros((40, 40), np.uint8)
    truth[5:15, 5:15], truth[20:35, 20:35] = 1, 2
    cases = []
    for rank in ("worst", "median", "best"):
        store.write_bytes(f"{rank}.png", panels(np.full((40, 40, 3), 90, np.uint8), truth, truth, np.roll(truth, 3, 0)))
        dice = {"plain <b>": 1.0, "pair": 0.8}
        cases.append({"rank": rank, "case": f"eye-{rank}", "image": f"eye-{rank}-3", "file": f"{rank}.png", "dice": dice})
    store.write_json("pictures.json", {"rule": "the rule", "seed": 0, "cases": cases})
    for name in found["curves"]:
        store.write_text(f"recipes/{name}.yaml", "name: <script>alert(1)</script>\n")
    inputs = {f"evaluation {m.evaluation.name}": {"path": m.evaluation.url, "hash": "e"} for m in members}
    record = {"kind": "comparison", "name": "eyes-val", "hash": "h", "config_hash": "k", "inputs": inputs}
    store.write_json("artefact.json", record | {"counts": {"cases": 6, "recipes": 2}, "seconds": 1.0, "finished": True})
    return store
