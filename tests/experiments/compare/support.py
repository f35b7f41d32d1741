"""Models and evaluations with chosen scores, as folders, without any training."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from framework.core.artifact import ArtifactSpec, Input, finish
from framework.core.storage import Store
from framework.corpus.targets import Target
from framework.evaluation.cases import schema
from framework.evaluation.classification import SCHEMA, prediction_row, summarise_target
from framework.evaluation.pooled import summarise_pooled, write_pooled
from framework.experiments.compare.table import SeedRun, compared
from framework.experiments.compare.text import csv_text, markdown
from framework.imaging.overlay import panels
from framework.metrics.average_precision import AUPR
from framework.metrics.base import CaseMetric
from framework.metrics.registry import metrics_of

CLASSES = ["disc", "ring"]

Dice = dict[str, NDArray[np.float64]]
"""By predictor, `[cases, classes]`."""


def log_of(*validations: tuple[int, float], seconds: float = 0.5) -> list[dict]:
    """A metric log of steps of equal length up to the last validation; validations are (step, mean Dice)."""
    steps = range(1, validations[-1][0] + 1) if validations else range(1, 5)
    scores = [
        {"step": step, "validation": {"metric": "dice", "dice": [], "mean": mean}}
        for step, mean in validations
    ]
    return [{"step": step, "loss": 1 / step, "seconds": seconds} for step in steps] + scores


def seed_run(
    root: Path, recipe: str, seed: int, dice: Dice, log: Sequence[dict] = (), memory: float | None = 100
) -> SeedRun:
    """Case i is that of patient i // 2."""
    model, evaluation = Store.at(root / f"{recipe}-{seed}"), Store.at(root / f"{recipe}-{seed}-val")
    counts = {"parameters": 1234567} | ({} if memory is None else {"peak_memory_mb": memory})
    record = {"kind": "model", "hash": "m", "inputs": {}, "counts": counts}
    model.write_json("artifact.json", record)
    model.write_text(
        "metrics.jsonl", "".join(json.dumps(record) + "\n" for record in log or log_of((4, 0.5), (8, 0.7)))
    )
    inputs = {"corpus": {"path": "data/eyes", "hash": "c"}}
    evaluation.write_json(
        "artifact.json", {"kind": "evaluation", "hash": "e", "inputs": inputs, "counts": {}}
    )
    evaluation.write_json("summary.json", {"split": "val", "cases": 6})
    evaluation.write_table("cases.parquet", case_table(dice))
    return SeedRun(recipe, seed, model, evaluation)


def classifier(root: Path, recipe: str, seed: int, skill: float) -> SeedRun:
    """A classifier: its grades of 12 images of 6 patients are the better the higher its skill is."""
    log = [{"step": step, "loss": 1.0, "seconds": 0.5} for step in (1, 2)]
    made = seed_run(
        root,
        recipe,
        seed,
        {},
        [*log, {"step": 2, "validation": {"metric": "auc", "auc": {"grade": 0.6}, "mean": 0.6}}],
    )
    made.evaluation.remove("cases.parquet")
    add_predictions(made.evaluation, seed, skill)
    return made


def add_predictions(evaluation: Store, seed: int, skill: float) -> None:
    """Grades of 12 images of 6 patients."""
    rng, target = (
        np.random.default_rng(seed),
        Target("grade", 0, ("none", "mild"), (0, 1), "method.targets.grade"),
    )
    truth = [i % 2 for i in range(12)]
    chances = np.clip(rng.uniform(0.1, 0.9, 12) + skill * (np.array(truth) - 0.5), 0, 1)
    rows = [
        prediction_row(target, f"eye-{i}", f"p{i // 2}", truth[i], np.array([1 - p, p]))
        for i, p in enumerate(chances)
    ]
    table = pa.Table.from_pylist(rows, schema=SCHEMA)
    evaluation.write_table("classification.parquet", table)
    extend(evaluation, {"targets": {"grade": summarise_target(table, target)}})


def add_lesions(evaluation: Store, seed: int, skill: float) -> None:
    """Histograms of two lesions in 8 images of 4 patients; the second is in none."""
    rng, rows, known = np.random.default_rng(seed), [], torch.ones(50, dtype=torch.bool)
    for i, lesion in itertools.product(range(8), CLASSES):
        truth = rng.random(50) < 0.3 * (lesion == "disc")
        chances = np.clip(rng.uniform(0, 0.7, 50) + skill * truth, 0, 1)
        part = AUPR().update(torch.from_numpy(chances)[None], torch.from_numpy(truth)[None], known)
        row = {"id": f"eye-{i}", "group": f"p{i // 2}", "class": lesion, "truth": int(truth.sum())}
        rows.append(row | {"aupr": part.flatten().numpy()})
    extend(evaluation, {"pooled": summarise_pooled(write_pooled(evaluation, rows))})


def extend(evaluation: Store, scores: dict[str, Any]) -> None:
    """Add to an evaluation's summary."""
    evaluation.write_json("summary.json", evaluation.read_json("summary.json") | scores)


def case_table(dice: Dice) -> pa.Table:
    """A per-case table of these scores."""
    rows = [
        {
            "predictor": name,
            "case": f"eye-{i}",
            "group": f"p{i // 2}",
            "class": CLASSES[k],
            **{metric.key: float(value) for metric in metrics_of(CaseMetric)},
            "truth": 9,
            "predicted": 9,
        }
        for name, values in dice.items()
        for (i, k), value in np.ndenumerate(values)
    ]
    return pa.Table.from_pylist(rows, schema=schema())


def comparison_artifact(root: Path) -> Store:
    """A finished comparison of two recipes and two seeds with pictures."""
    rng = np.random.default_rng(0)
    base = rng.uniform(0.2, 0.7, (6, 2))
    members = []
    for seed in (0, 1):
        members.append(
            seed_run(root, "plain <b>", seed, {"network 1": base}, log_of((4, 0.3), (8, 0.4 + seed / 10)))
        )
        better = {"both": base + rng.uniform(0, 0.2, base.shape), "network 1": base + 0.01}
        members.append(seed_run(root, "pair", seed, better))
    store = artifact_of(root, members, "plain <b>")
    truth = np.zeros((40, 40), np.uint8)
    truth[5:15, 5:15], truth[20:35, 20:35] = 1, 2
    cases = []
    for rank in ("worst", "median", "best"):
        store.write_bytes(
            f"{rank}.png", panels(np.full((40, 40, 3), 90, np.uint8), truth, truth, np.roll(truth, 3, 0))
        )
        dice = {"plain <b>": 1.0, "pair": 0.8}
        cases.append(
            {
                "rank": rank,
                "case": f"eye-{rank}",
                "image": f"eye-{rank}-3",
                "file": f"{rank}.png",
                "scores": dice,
            }
        )
    store.write_json("pictures.json", {"rule": "the rule", "metric": "dice", "seed": 0, "cases": cases})
    return finished(store, members)


def artifact_of(root: Path, members: list[SeedRun], control: str) -> Store:
    """A finished comparison without pictures."""
    store = Store.at(root / "eyes-val")
    table = {"name": "eyes", **compared(members, control, 0.45)}
    store.write_json("table.json", table)
    store.write_text("table.csv", csv_text(table))
    store.write_text("table.md", markdown(table))
    store.write_json("pictures.json", {"rule": "the rule", "metric": "dice", "seed": 0, "cases": []})
    for name in table["curves"]:
        store.write_text(f"recipes/{name}.yaml", "name: <script>alert(1)</script>\n")
    return finished(store, members)


def finished(store: Store, members: list[SeedRun]) -> Store:
    """The comparison as finished with the files that it has now."""
    inputs = {f"evaluation {m.evaluation.name}": Input(m.evaluation.url, "e") for m in members}
    finish(store, ArtifactSpec("comparison", inputs, {}), {"cases": 6, "recipes": 2}, 1.0, ["recipes"])
    return store
