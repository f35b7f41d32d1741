"""The numbers of a comparison: scores with intervals, paired differences, and what each recipe cost."""

import statistics
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from framework.core.storage import Store
from framework.evaluation import cases, classification
from framework.experiments.compare.pooled_scores import Row, pooled_rows, recipe_scores
from framework.metrics.base import CaseMetric
from framework.metrics.bootstrap import CROSSED, crossed_intervals
from framework.metrics.registry import compared as compared_metrics
from framework.training import metric_log

Records = Sequence[dict[str, Any]]


class SeedRun(NamedTuple):
    """A recipe trained with one seed, and its scores: folders of a model and of an evaluation."""

    recipe: str
    seed: int
    model: Store
    evaluation: Store


class CaseScores(NamedTuple):
    """What a recipe's predictor scored, by metric `[seeds, cases, classes + 1]`, the last being the mean."""

    recipe: str
    predictor: str
    values: dict[str, NDArray[np.float64]]


def compared(runs: Sequence[SeedRun], control: str, target: float | None) -> dict[str, Any]:
    """The content of `table.json`: what was compared, the rows of the table and the learning curves.

    All runs were scored on the same cases, every recipe with the same seeds in the same order. A row is a
    recipe's predictor; costs are the recipe's, and so are its pooled scores, which its first row holds.
    """
    of: dict[str, list[SeedRun]] = {}
    for run in runs:
        of.setdefault(run.recipe, []).append(run)
    groups, classes, rows = _by_case(of, control)
    pooled = pooled_rows({name: recipe_scores([run.evaluation for run in of[name]]) for name in of}, control)
    shared = {name: row for scores in pooled.values() for name, row in scores.items()}
    logs = {name: [metric_log.read(run.model) for run in of[name]] for name in of}
    costs = {name: cost([run.model for run in of[name]], logs[name], target) for name in of}
    corpus = runs[0].evaluation.read_json("artifact.json")["inputs"]["corpus"]["path"]
    rows.sort(key=lambda row: list(of).index(row["recipe"]))
    return {
        "split": runs[0].evaluation.read_json("summary.json")["split"],
        "corpus": corpus.rsplit("/", 1)[-1],
        "cases": len(groups),
        "groups": len(set(groups.values())),
        "classes": classes,
        "seeds": [run.seed for run in of[control]],
        "control": control,
        "target_dice": target,
        "interval": CROSSED,
        "metrics": [metric.key for metric in compared_metrics(CaseMetric)] if classes else [],
        "pooled": {name: {key: row[key] for key in ("metric", "images")} for name, row in shared.items()},
        "rows": [row | {"pooled": pooled.pop(row["recipe"], {})} | costs[row["recipe"]] for row in rows],
        "judged_by": {name: metric_log.judged_by(logs[name][0]) for name in of},
        "curves": {name: mean_curve(logs[name]) for name in of},
    }


def _by_case(of: dict[str, list[SeedRun]], control: str) -> tuple[dict[str, str], list[str], list[Row]]:
    """The group of each case, the classes and the rows; of each image, and no classes, without any masks."""
    masked = [name for name, runs in of.items() if runs[0].evaluation.exists(cases.FILE)]
    rows = [{"recipe": name, "predictor": None, "scores": {}} for name in of if name not in masked]
    if not masked:
        return cases.groups_of(of[control][0].evaluation.read_table(classification.FILE), "id"), [], rows
    tables = {name: [run.evaluation.read_table(cases.FILE) for run in of[name]] for name in masked}
    first = tables[control if control in masked else masked[0]][0]
    groups, classes = cases.groups_of(first), first["class"].unique().to_pylist()
    scores = [entry for name in masked for entry in case_scores(name, tables[name], list(groups), classes)]
    return groups, classes, case_rows(scores, control, list(groups.values()), classes) + rows


def case_scores(
    recipe: str, tables: Sequence[pa.Table], names: list[str], classes: list[str]
) -> list[CaseScores]:
    """The scores of each predictor from a per-case table per seed, in the order of `names` and `classes`."""
    keys = [metric.key for metric in compared_metrics(CaseMetric)]
    scores = []
    for predictor in tables[0]["predictor"].unique().to_pylist():
        own = [table.filter(pc.field("predictor") == predictor) for table in tables]
        values = [cases.with_mean(cases.case_values(table, names, classes, keys)) for table in own]
        by_key = {key: np.stack(values)[..., i] for i, key in enumerate(keys)}
        scores.append(CaseScores(recipe, predictor, by_key))
    return scores


def case_rows(
    scores: Sequence[CaseScores], control: str, groups: Sequence[str], classes: Sequence[str]
) -> list[Row]:
    """A row per predictor: by metric the mean of each class and over classes, and the latter's difference.

    It is to the control's predictor of the same name or else its first, case by case and seed by seed; the
    control's own rows have none, and no row where the control makes no masks.
    """
    controls = {entry.predictor: entry for entry in scores if entry.recipe == control}
    rows = []
    for entry in scores:
        rival = controls.get(entry.predictor, next(iter(controls.values()), None))
        against = None if entry.recipe == control else rival
        values = {key: _case_row(entry, against, key, groups, classes) for key in entry.values}
        rows.append({"recipe": entry.recipe, "predictor": entry.predictor, "scores": values})
    return rows


def _case_row(
    entry: CaseScores, against: CaseScores | None, key: str, groups: Sequence[str], classes: Sequence[str]
) -> Row:
    values, difference = entry.values[key], None
    if against is not None:
        [change] = crossed_intervals(values[..., -1:] - against.values[key][..., -1:], groups)
        difference = asdict(change) | {"against": against.predictor}
    means = dict(zip([*classes, "mean"], map(asdict, crossed_intervals(values, groups)), strict=True))
    return {"classes": means, "by_seed": values[..., -1].mean(1).tolist(), "difference": difference}


def cost(models: Sequence[Store], logs: Sequence[Records], target: float | None) -> Row:
    """What a recipe costs: seconds of a step (median over all seeds' steps) and to the target, size, memory.

    `target_seconds` has an entry per seed, None where it missed the target; it is None without a target and
    for a recipe not judged by Dice. Memory is the largest of the seeds', in MB, if a model tells.
    """
    counts = [model.read_json("artifact.json")["counts"] for model in models]
    by_dice = metric_log.judged_by(logs[0]) in ("dice", None)
    memory = [count["peak_memory_mb"] for count in counts if "peak_memory_mb" in count]
    seconds = [record["seconds"] for log in logs for record in log if "seconds" in record]
    return {
        "seconds_per_step": statistics.median(seconds),
        "target_seconds": [seconds_to(log, target) for log in logs] if target and by_dice else None,
        "parameters": counts[0]["parameters"],
        "peak_memory_mb": max(memory, default=None),
    }


def seconds_to(log: Records, target: float) -> float | None:
    """Seconds of training, earlier validations and checkpoints included, before the first validation whose
    score is at least `target`; None without one."""
    reached = [r["step"] for r in log if r.get("validation", {}).get("mean", 0.0) >= target]
    return sum(r["seconds"] for r in log if "seconds" in r and r["step"] <= reached[0]) if reached else None


def mean_curve(logs: Sequence[Records]) -> list[tuple[int, float]]:
    """The score of validations by step, averaged over the seeds, at the steps that all of them have."""
    scores = [{r["step"]: r["validation"]["mean"] for r in log if "validation" in r} for log in logs]
    shared = [step for step in scores[0] if all(step in seed for seed in scores)]
    return [(step, statistics.fmean(seed[step] for seed in scores)) for step in shared]
