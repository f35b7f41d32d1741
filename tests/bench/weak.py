"""How well each step from image-level labels outlines what is there, beside a model that learnt from all masks.

    python -m tests.bench.weak CORPUS RUN REFERENCE [--split test]

RUN is what `scantseg run configs/busi/weak.yaml` makes, REFERENCE a model trained on all masks. The IoU is the mean over the images
whose mask shows the class, at their own size. Maps are cut where their IoU on the validation images is best. The table is put into
the README, between `<!-- table weak-SPLIT -->` and `<!-- end -->`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from framework.corpus.map_layers import MapLayer
from framework.corpus.reader import Corpus, Sample
from framework.evaluation.evaluate import predicted_mask
from framework.evaluation.intervals import Interval, mean_intervals
from framework.evaluation.map_quality import THRESHOLDS, measure_maps, overlaps
from framework.inference.predictor import Predictor
from framework.storage import Store
from tests.bench.tables import README, filled

CLASS = 1
"""Of the masks: the tumour."""


class Scores(NamedTuple):
    """The IoU of each image that shows the class, and its patient."""

    values: np.ndarray
    groups: list[str]


def main(corpus: Corpus, run: Store, reference: Store, split: str) -> None:
    maps = [MapLayer(run / name, corpus) for name in ("maps", "walk")]
    cuts = [best_cut(corpus, layer) for layer in maps]
    steps = {
        f"maps of the classifier, cut at {cuts[0]}": of_maps(corpus, maps[0], split, cuts[0]),
        f"after the walk, cut at {cuts[1]}": of_maps(corpus, maps[1], split, cuts[1]),
        "segmenter": of_model(corpus, run / "segmenter", split),
        "all masks": of_model(corpus, reference, split),
    }
    text = table(steps)
    print(text)
    README.write_text(filled(README.read_text(encoding="utf-8"), f"weak-{split}", text), encoding="utf-8")


def best_cut(corpus: Corpus, layer: MapLayer) -> float:
    """The threshold with the largest mean IoU on the validation images."""
    means = [interval.mean for interval in measure_maps(corpus, layer, "val")[corpus.info.classes[CLASS]]]
    return THRESHOLDS[int(np.argmax(means))]


def of_maps(corpus: Corpus, layer: MapLayer, split: str, cut: float) -> Scores:
    """The IoU of maps at a threshold, `[images, 1]`; an image without a map has 0."""
    return scores(corpus, split, lambda sample, mask: overlaps(layer.maps(sample.id).get(CLASS), mask, CLASS, [cut]))


def of_model(corpus: Corpus, model: Store, split: str) -> Scores:
    """The IoU of a model's masks, `[images, 1]`."""
    predictor = Predictor(model)

    def overlap(sample: Sample, mask: np.ndarray) -> list[float]:
        found = predicted_mask(corpus, predictor, sample) == CLASS
        return overlaps(found.astype(np.float32), mask, CLASS, [0.5])

    return scores(corpus, split, overlap)


def scores(corpus: Corpus, split: str, overlap: Callable[[Sample, np.ndarray], list[float]]) -> Scores:
    values, groups = [], []
    for sample in corpus.rows([name for name in corpus.ids(split) if corpus.value(name, "mask_kind") == "mask"]):
        assert sample.mask is not None
        if (sample.mask == CLASS).any():
            values.append(overlap(sample, sample.mask))
            groups.append(sample.group)
    return Scores(np.array(values), groups)


def table(steps: dict[str, Scores]) -> str:
    """Markdown: the mean IoU of every step, and what it has over the one before."""
    lines = [f"IoU [95 % interval] over {len(next(iter(steps.values())).values)} images", ""]
    lines += ["| | IoU | over the row above |", "|---|---|---|"]
    before: Scores | None = None
    for name, held in steps.items():
        gain = "–" if before is None else shown(mean_intervals(held.values - before.values, held.groups), "+.3f")
        lines.append(f"| {name} | {shown(mean_intervals(held.values, held.groups), '.3f')} | {gain} |")
        before = held
    return "\n".join(lines)


def shown(found: Sequence[Interval], form: str) -> str:
    (interval,) = found
    return f"{interval.mean:{form}} [{interval.low:{form}}, {interval.high:{form}}]"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("corpus", "run", "reference"):
        parser.add_argument(name)
    parser.add_argument("--split", choices=("val", "test"), default="test")
    given = parser.parse_args()
    main(Corpus.open(given.corpus), Store.at(given.run), Store.at(given.reference), given.split)
