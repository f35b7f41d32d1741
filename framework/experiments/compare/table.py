"""The numbers of a comparison: scores with intervals, paired differences, and what each recipe cost."""

import statistics
from collections.abc import Sequence
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from framework.core.artifact import read_record
from framework.core.storage import Store
from framework.evaluation import cases, classification
from framework.evaluation.case_scores import MEAN, CaseScores
from framework.evaluation.summary import read_summary
from framework.experiments.compare.pooled_scores import pooled_rows, recipe_scores
from framework.experiments.compare.verdict import Row, difference_row, notices, verdicts
from framework.metrics.base import CaseMetric
from framework.metrics.bootstrap import CROSSED
from framework.metrics.registry import compared as compared_metrics
from framework.training import metric_log

COUNTS = ("found", "false_alarms")
Records = Sequence[dict[str, Any]]


class SeedRun(NamedTuple):
    """A recipe trained with one seed, and its scores: folders of a model and of an evaluation."""

    recipe: str
    seed: int
    model: Store
    evaluation: Store


class PredictorScores(NamedTuple):
    """What a recipe's predictor scored, with all seeds."""

    recipe: str
    predictor: str
    scores: CaseScores


def compared(runs: Sequence[SeedRun], control: str, target: float | None) -> dict[str, Any]:
    """The content of `table.json`: what was compared, the rows of the table and the learning curves.

    All runs were scored on the same cases, every recipe with the same seeds in the same order. A row is a
    recipe's predictor; costs are the recipe's, and so are its pooled scores, which its first row holds.
    """
    of: dict[str, list[SeedRun]] = {}
    for run in runs:
        of.setdefault(run.recipe, []).append(run)
    groups, classes, rows, reference = _by_case(of, control)
    pooled = pooled_rows({name: recipe_scores([run.evaluation for run in of[name]]) for name in of}, control)
    shared = {name: row for scores in pooled.values() for name, row in scores.items()}
    logs = {name: [metric_log.read(run.model) for run in of[name]] for name in of}
    costs = {name: cost([run.model for run in of[name]], logs[name], target) for name in of}
    corpus = read_record(runs[0].evaluation)["inputs"]["corpus"]["path"]
    rows.sort(key=lambda row: list(of).index(row["recipe"]))
    table = {
        "split": read_summary(runs[0].evaluation)["split"],
        "corpus": corpus.rsplit("/", 1)[-1],
        "cases": len(groups),
        "groups": len(set(groups.values())),
        "classes": classes,
        "seeds": [run.seed for run in of[control]],
        "control": control,
        "target_dice": target,
        "interval": CROSSED,
        "metrics": [metric.key for metric in compared_metrics(CaseMetric)] if classes else [],
        "reference": reference,
        "pooled": {name: {key: row[key] for key in ("metric", "images")} for name, row in shared.items()},
        "rows": [row | {"pooled": pooled.pop(row["recipe"], {})} | costs[row["recipe"]] for row in rows],
        "judged_by": {name: metric_log.judged_by(logs[name][0]) for name in of},
        "curves": {name: mean_curve(logs[name]) for name in of},
    }
    return table | {"verdicts": verdicts(table), "notices": notices(table)}


def _by_case(
    of: dict[str, list[SeedRun]], control: str
) -> tuple[dict[str, str], list[str], list[Row], Row | None]:
    """The group of each case, the classes, the rows, and what a model scores that predicts nothing; of each
    image, and no classes, without any masks."""
    masked = [name for name, runs in of.items() if runs[0].evaluation.exists(cases.FILE)]
    rows = [{"recipe": name, "predictor": None, "scores": {}} for name in of if name not in masked]
    if not masked:
        groups = cases.groups_of(of[control][0].evaluation.read_table(classification.FILE), "id")
        return groups, [], rows, None
    tables = {name: [run.evaluation.read_table(cases.FILE) for run in of[name]] for name in masked}
    first = tables[control if control in masked else masked[0]][0]
    groups, classes = cases.groups_of(first), first["class"].unique().to_pylist()
    scores = [entry for name in masked for entry in predictor_scores(name, tables[name], groups, classes)]
    silence = scores[0].scores.of_silence().structures() if scores[0].scores.clean else None
    return groups, classes, case_rows(scores, control) + rows, silence


def predictor_scores(
    recipe: str, tables: Sequence[pa.Table], groups: dict[str, str], classes: Sequence[str]
) -> list[PredictorScores]:
    """The scores of each predictor from a per-case table per seed; `groups` has the group of each case."""
    scores = []
    for predictor in tables[0]["predictor"].unique().to_pylist():
        own = [table.filter(pc.field("predictor") == predictor) for table in tables]
        scores.append(PredictorScores(recipe, predictor, CaseScores.of(own, groups, classes)))
    return scores


def case_rows(scores: Sequence[PredictorScores], control: str) -> list[Row]:
    """A row per predictor: its structures, and by metric the mean over classes by seed and its difference.

    It is to the control's predictor of the same name or else its first, case by case and seed by seed; the
    control's own rows have none, and no row where the control makes no masks.
    """
    controls = {entry.predictor: entry for entry in scores if entry.recipe == control}
    rows = []
    for entry in scores:
        rival = controls.get(entry.predictor, next(iter(controls.values()), None))
        against = None if entry.recipe == control else rival
        structures, metrics = entry.scores.structures(), compared_metrics(CaseMetric)
        values = {metric.key: _case_row(entry, against, metric, structures) for metric in metrics}
        counts = {name: {key: each[key] for key in COUNTS} for name, each in structures.items()}
        rows.append(
            {"recipe": entry.recipe, "predictor": entry.predictor, "scores": values, "counts": counts}
        )
    return rows


def _case_row(
    entry: PredictorScores, against: PredictorScores | None, metric: CaseMetric, structures: Row
) -> Row:
    difference = None
    if against is not None:
        change = entry.scores.difference(against.scores, metric)
        described = difference_row(change, len(set(entry.scores.groups)))
        difference = described and described | {"against": against.predictor}
    return {
        "classes": {name: each[metric.key] for name, each in structures.items()},
        "all_cases": structures[MEAN]["all_cases"][metric.key],
        "by_seed": entry.scores.headline(metric).values[:, -1].tolist(),
        "difference": difference,
    }


def cost(models: Sequence[Store], logs: Sequence[Records], target: float | None) -> Row:
    """What a recipe costs: seconds of a step (median over all seeds' steps) and to the target, size, memory.

    `target_seconds` has an entry per seed, None where it missed the target; it is None without a target and
    for a recipe not judged by Dice. Memory is the largest of the seeds', in MB, if a model tells.
    """
    counts = [read_record(model)["counts"] for model in models]
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
