"""The same cases for all recipes: image, truth, and one prediction each."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any

import pyarrow as pa

from framework.core.storage import Store
from framework.corpus.reader import Corpus, Sample
from framework.evaluation.evaluate import predicted_mask
from framework.experiments.compare.table import Member
from framework.imaging.overlay import panels
from framework.inference.predictor import Predictor

RULE = (
    "the worst, the median and the best case of {} by mean Dice over classes, of the cases with any structure; "
    "of a volume the slice with most of it"
)


def write_pictures(folder: Store, members: Sequence[Member], control: str, corpus_url: str) -> None:
    """Write `pictures.json` and a PNG per case, predicted by the first predictor of each recipe's first seed.

    Recipes without masks are not shown; where the control is one, the cases are chosen by the first recipe with masks.
    """
    firsts = [m for m in members if m.seed == members[0].seed and m.evaluation.exists("cases.parquet")]
    shown = _panels(folder, firsts, control, corpus_url) if firsts else []
    of = "the control" if not firsts or control in {member.recipe for member in firsts} else firsts[0].recipe
    folder.write_json("pictures.json", {"rule": RULE.format(of), "seed": members[0].seed, "cases": shown})


def _panels(folder: Store, firsts: Sequence[Member], control: str, corpus_url: str) -> list[dict[str, Any]]:
    dice = {member.recipe: case_dice(member.evaluation.read_table("cases.parquet")) for member in firsts}
    chosen = choose(dice.get(control, dice[firsts[0].recipe]))
    corpus = Corpus.open(corpus_url)
    shown = {rank: fullest(corpus, case) for rank, case in chosen.items()}
    predictors = [Predictor(member.model) for member in firsts]
    listed = []
    for rank, sample in shown.items():
        assert sample.mask is not None
        folder.write_bytes(
            f"{rank}.png",
            panels(sample.image, sample.mask, *(predicted_mask(corpus, p, sample) for p in predictors)),
        )
        case = chosen[rank]
        scores = {name: held[case] for name, held in dice.items()}
        listed.append({"rank": rank, "case": case, "image": sample.id, "file": f"{rank}.png", "dice": scores})
    return listed


def case_dice(table: pa.Table) -> dict[str, float]:
    """Mean Dice over classes of each case with any structure (of all cases where none has), of a table's first predictor."""
    rows = [row for row in table.to_pylist() if row["predictor"] == table["predictor"][0].as_py()]
    structured = {row["case"] for row in rows if row["truth"]} or {row["case"] for row in rows}
    return {case: fmean(row["dice"] for row in rows if row["case"] == case) for case in structured}


def choose(dice: dict[str, float]) -> dict[str, str]:
    """The worst, the median and the best case, by rank; equal scores in the order of their names."""
    ranked = sorted(dice, key=lambda case: (dice[case], case))
    return {"worst": ranked[0], "median": ranked[len(ranked) // 2], "best": ranked[-1]}


def fullest(corpus: Corpus, case: str) -> Sample:
    """The slice of a volume with most structure, or the image itself."""
    names = [name for name in corpus.index_columns["id"] if case in (corpus.value(name, "volume"), name)]
    return max(corpus.rows(names), key=lambda sample: sample.structure)
