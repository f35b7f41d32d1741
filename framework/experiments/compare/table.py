"""The numbers of a comparison: Dice and other scores with intervals, paired differences, and what each recipe cost."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from framework.core.storage import Store
from framework.experiments.compare.pooled_scores import Row, figure_rows, recipe_figures
from framework.metrics.bootstrap import CROSSED, crossed_intervals
from framework.training import metric_log

Records = Sequence[dict[str, Any]]

WITHOUT_MASKS: Row = {"predictor": None, "dice": None, "dice_by_seed": None, "difference": None}
"""What the row of a recipe holds that only answers questions about whole images."""


@dataclass(frozen=True)
class Member:
    """A recipe trained with one seed, and its scores: folders of a model and of an evaluation."""

    recipe: str
    seed: int
    model: Store
    evaluation: Store


@dataclass(frozen=True)
class Scores:
    """Dice of one recipe's predictor, `[seeds, cases, classes + 1]`; the last column is the mean over the classes."""

    recipe: str
    predictor: str
    dice: NDArray[np.float64]


def compared(members: Sequence[Member], control: str, target: float | None) -> dict[str, Any]:
    """The content of `table.json`: what was compared, the rows of the table and the learning curves.

    All members were scored on the same cases, every recipe with the same seeds. A row is a recipe's predictor; the costs are
    the recipe's. Scores beside Dice are those of `figures.py`. Members of a recipe stand in the order of their seeds.
    """
    recipes = list(dict.fromkeys(member.recipe for member in members))
    of = {name: [member for member in members if member.recipe == name] for name in recipes}
    masked = [name for name in recipes if of[name][0].evaluation.exists("cases.parquet")]
    tables = {name: [m.evaluation.read_table("cases.parquet") for m in of[name]] for name in masked}
    corpus = members[0].evaluation.read_json("artifact.json")["inputs"]["corpus"]["path"]
    first = control if control in masked else next(iter(masked), None)
    groups, classes = cases_and_classes(tables[first][0]) if first else (answered(members[0].evaluation), [])
    scores = [held for name in masked for held in recipe_scores(name, tables[name], list(groups), classes)]
    costs = {name: cost([m.model for m in of[name]], target) for name in recipes}
    rows = dice_rows(scores, control, list(groups.values()), classes)
    rows += [{"recipe": name, **WITHOUT_MASKS} for name in recipes if name not in masked]
    figures = figure_rows(
        {name: recipe_figures([m.evaluation for m in of[name]]) for name in recipes}, control
    )
    found = {
        "split": members[0].evaluation.read_json("summary.json")["split"],
        "corpus": corpus.rsplit("/", 1)[-1],
        "cases": len(groups),
        "groups": len(set(groups.values())),
        "classes": classes,
        "seeds": [member.seed for member in of[control]],
        "control": control,
        "target_dice": target,
        "interval": CROSSED,
        "rows": [
            row | costs[row["recipe"]] for row in sorted(rows, key=lambda row: recipes.index(row["recipe"]))
        ],
        "curves": {name: mean_curve([metric_log.read(m.model) for m in of[name]]) for name in recipes},
    }
    return with_figures(
        found, figures, {name: judged_by(metric_log.read(of[name][0].model)) for name in recipes}
    )


def with_figures(found: Row, figures: dict[str, dict[str, Row]], measures: dict[str, str]) -> Row:
    """The table with its scores beside Dice, where there are any: the images of each, and those of a recipe in its first row.

    `measures` says of which score each recipe's learning curve is.
    """
    images = {name: row["images"] for held in figures.values() for name, row in held.items()}
    if not images:
        return found
    left = dict(figures)
    rows = [row | {"figures": left.pop(row["recipe"], {})} for row in found["rows"]]
    return found | {"figures": images, "measures": measures, "rows": rows}


def answered(evaluation: Store) -> dict[str, str]:
    """The group of each image that was asked about."""
    table = evaluation.read_table("answers.parquet")
    return dict(zip(table["id"].to_pylist(), table["group"].to_pylist(), strict=True))


def judged_by(log: Records) -> str:
    """The name of the score of a run's validations; Dice where there was none."""
    return next(
        (metric_log.measure(record["validation"]) for record in log if "validation" in record), "Dice"
    )


def cases_and_classes(table: pa.Table) -> tuple[dict[str, str], list[str]]:
    """The group of each case, and the foreground classes, in the order of a per-case table."""
    groups = dict(zip(table["case"].to_pylist(), table["group"].to_pylist(), strict=True))
    return groups, table["class"].unique().to_pylist()


def recipe_scores(
    recipe: str, tables: Sequence[pa.Table], cases: list[str], classes: list[str]
) -> list[Scores]:
    """The Dice of each predictor of a recipe from one per-case table per seed, in the order of `cases` and `classes`."""
    place = {case: i for i, case in enumerate(cases)}
    column = {name: i for i, name in enumerate(classes)}
    predictors = tables[0]["predictor"].unique().to_pylist()
    dice = {name: np.full((len(tables), len(cases), len(classes)), np.nan) for name in predictors}
    for i, table in enumerate(tables):
        for row in table.select(["predictor", "case", "class", "dice"]).to_pylist():
            dice[row["predictor"]][i, place[row["case"]], column[row["class"]]] = row["dice"]
    assert not any(np.isnan(values).any() for values in dice.values()), (
        "an evaluation lacks a case or a class"
    )
    return [
        Scores(recipe, name, np.concatenate([v, v.mean(2, keepdims=True)], 2)) for name, v in dice.items()
    ]


def dice_rows(
    scores: Sequence[Scores], control: str, groups: Sequence[str], classes: Sequence[str]
) -> list[Row]:
    """A row per predictor: mean Dice of each class and over classes, and the paired difference of the latter to the control.

    A predictor is held against the control's of the same name, or else against its first. The difference is taken case by
    case and seed by seed; the control's own rows have none, and no row where the control makes no masks.
    """
    held = {entry.predictor: entry for entry in scores if entry.recipe == control}
    rows = []
    for entry in scores:
        against = (
            None if entry.recipe == control else held.get(entry.predictor, next(iter(held.values()), None))
        )
        intervals = crossed_intervals(entry.dice, groups)
        rows.append(
            {
                "recipe": entry.recipe,
                "predictor": entry.predictor,
                "dice": {name: asdict(i) for name, i in zip([*classes, "mean"], intervals, strict=True)},
                "dice_by_seed": entry.dice[..., -1].mean(1).tolist(),
                "difference": None if against is None else _difference(entry, against, groups),
            }
        )
    return rows


def _difference(entry: Scores, against: Scores, groups: Sequence[str]) -> Row:
    [difference] = crossed_intervals(entry.dice[..., -1:] - against.dice[..., -1:], groups)
    return asdict(difference) | {"against": against.predictor}


def cost(models: Sequence[Store], target: float | None) -> Row:
    """What a recipe costs: seconds of a step (median over all seeds' steps), seconds to the target, size and memory.

    `target_seconds` has an entry per seed, None where the target was not reached; it is None where there is no target, or no Dice
    was measured. Memory is the largest of the seeds', in MB, None where the models do not tell.
    """
    logs = [metric_log.read(model) for model in models]
    counts = [model.read_json("artifact.json")["counts"] for model in models]
    reached = (
        None if target is None or judged_by(logs[0]) != "Dice" else [seconds_to(log, target) for log in logs]
    )
    memory = [held["peak_memory_mb"] for held in counts if "peak_memory_mb" in held]
    return {
        "seconds_per_step": statistics.median(
            record["seconds"] for log in logs for record in log if "seconds" in record
        ),
        "target_seconds": reached,
        "parameters": counts[0]["parameters"],
        "peak_memory_mb": max(memory, default=None),
    }


def seconds_to(log: Records, target: float) -> float | None:
    """Seconds of training before the first validation whose mean Dice is at least `target`; None when there is none.

    The time runs from the first step and includes earlier validations and checkpoints, each being part of the step after it.
    """
    reached = [r["step"] for r in log if r.get("validation", {}).get("mean", 0.0) >= target]
    return sum(r["seconds"] for r in log if "seconds" in r and r["step"] <= reached[0]) if reached else None


def mean_curve(logs: Sequence[Records]) -> list[tuple[int, float]]:
    """The score of validations (Dice: mean over classes) by step, averaged over the seeds, at the steps that all of them have."""
    scores = [{r["step"]: r["validation"]["mean"] for r in log if "validation" in r} for log in logs]
    return [
        (step, statistics.fmean(held[step] for held in scores))
        for step in scores[0]
        if all(step in held for held in scores)
    ]
