"""The same cases for all recipes: image, truth, and one prediction each."""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from framework.core.storage import Store
from framework.corpus.reader import Corpus, Sample
from framework.evaluation import cases
from framework.evaluation.evaluate import mean_score, predicted_mask
from framework.experiments.compare.table import SeedRun
from framework.imaging.overlay import panels
from framework.inference.predictor import Predictor
from framework.metrics.base import CaseMetric
from framework.metrics.registry import leading


def write_pictures(folder: Store, runs: Sequence[SeedRun], control: str, corpus_url: str) -> None:
    """Write `pictures.json` and a PNG per case, by the first predictor of each recipe's first seed.

    Recipes without masks are not shown; if the control is one, the first with masks chooses the cases.
    """
    seed, metric = runs[0].seed, leading(CaseMetric)
    firsts = [run for run in runs if run.seed == seed and run.evaluation.exists(cases.FILE)]
    shown = _panels(folder, firsts, control, corpus_url) if firsts else []
    by = "the control" if not firsts or control in {run.recipe for run in firsts} else firsts[0].recipe
    rule = f"the worst, the median and the best case of {by} by mean {metric.name} over classes"
    rule += ", of the cases with any structure; of a volume the slice with most of it"
    folder.write_json("pictures.json", {"rule": rule, "metric": metric.key, "seed": seed, "cases": shown})


def _panels(folder: Store, firsts: Sequence[SeedRun], control: str, corpus_url: str) -> list[dict[str, Any]]:
    scores = {run.recipe: mean_scores(run.evaluation.read_table(cases.FILE)) for run in firsts}
    corpus, predictors, listed = Corpus.open(corpus_url), [Predictor(run.model) for run in firsts], []
    chosen = choose(scores.get(control, scores[firsts[0].recipe]))
    for rank, case in chosen.items():
        file, sample = f"{rank}.png", fullest(corpus, case)
        assert sample.mask is not None
        masks = (predicted_mask(corpus, predictor, sample) for predictor in predictors)
        folder.write_bytes(file, panels(sample.image, sample.mask, *masks))
        values = {name: by_case.get(case) for name, by_case in scores.items()}
        listed.append({"rank": rank, "case": case, "image": sample.id, "file": file, "scores": values})
    return listed


def mean_scores(table: pa.Table) -> dict[str, float]:
    """By case that has a structure, a table's leading metric of the first predictor, averaged over the
    classes that it has."""
    rows = [row for row in table.to_pylist() if row["predictor"] == table["predictor"][0].as_py()]
    cases = {row["case"]: [each for each in rows if each["case"] == row["case"]] for row in rows}
    scores = {case: mean_score(own) for case, own in cases.items()}
    return {case: score for case, score in scores.items() if score is not None}


def choose(scores: dict[str, float]) -> dict[str, str]:
    """The worst, the median and the best case, by rank; equal scores in the order of their names; none of
    none."""
    sign = 1 if leading(CaseMetric).larger_is_better else -1
    ranked = sorted(scores, key=lambda case: (sign * scores[case], case))
    if not ranked:
        return {}
    return {"worst": ranked[0], "median": ranked[len(ranked) // 2], "best": ranked[-1]}


def fullest(corpus: Corpus, case: str) -> Sample:
    """The slice of a volume with most structure, or the image itself."""
    names = [name for name in corpus.index_columns["id"] if case in (corpus.value(name, "volume"), name)]
    return max(corpus.rows(names), key=lambda sample: sample.structure)
