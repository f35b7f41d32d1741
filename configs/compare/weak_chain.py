"""How well each step from image-level labels outlines what is there, beside a model that learnt from all
masks.

    python configs/compare/weak_chain.py CORPUS --runs RUN [RUN …] --references MODEL [MODEL …] [--split test]

RUN is what `scantseg run configs/busi/weak.yaml` makes, MODEL one trained on all masks; of each as many as
there are seeds. The IoU is the mean over the images whose mask shows the class, at their own size. All
steps, the models' probabilities too, are cut where their IoU on the validation images is best, seed by
seed. The table is put into the README, between `<!-- table weak-SPLIT -->` and `<!-- end -->`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from tables import README, filled

from framework.core.storage import Store
from framework.corpus.map_layers import MapLayer
from framework.corpus.reader import Corpus, Sample
from framework.inference.predictor import Predictor
from framework.labelling.quality import THRESHOLDS, overlaps
from framework.metrics.bootstrap import Interval, crossed_intervals

CLASS = 1
"""Class id of the tumour."""

Finder = Callable[[Sample], np.ndarray | None]
"""Evidence for the class in one image, `[H, W]` in [0, 1], at any size; None is none at all."""


class Step(NamedTuple):
    """A step's cut by seed, and the IoU of each image there `[seeds, images, 1]`."""

    cuts: list[float]
    values: np.ndarray


def main(corpus: Corpus, runs: Sequence[Store], references: Sequence[Store], split: str) -> None:
    finders = {
        "maps of the classifier": [of_maps(MapLayer(run / "maps", corpus)) for run in runs],
        "walk": [of_maps(MapLayer(run / "walk", corpus)) for run in runs],
        "segmenter": [of_model(run / "segmenter") for run in runs],
        "all masks": [of_model(model) for model in references],
    }
    steps = {name: step(corpus, split, seeds) for name, seeds in finders.items()}
    text = table(steps, [sample.group for sample, _ in showing(corpus, split)])
    print(text)
    print("RESULT " + " ".join(f"{name.split()[0]}={step.values.mean():.3f}" for name, step in steps.items()))
    README.write_text(filled(README.read_text(encoding="utf-8"), f"weak-{split}", text), encoding="utf-8")


def of_maps(layer: MapLayer) -> Finder:
    return lambda sample: layer.maps(sample.id).get(CLASS)


def of_model(model: Store) -> Finder:
    predictor = Predictor(model)
    return lambda sample: next(iter(next(predictor.at_own_sizes([sample.image])).values()))[CLASS].numpy()


def step(corpus: Corpus, split: str, seeds: Sequence[Finder]) -> Step:
    """Each seed's cut has the largest mean IoU on the validation images."""
    best = [int(np.argmax(scores(corpus, "val", finder).mean(axis=0))) for finder in seeds]
    values = [scores(corpus, split, finder)[:, [cut]] for finder, cut in zip(seeds, best, strict=True)]
    return Step([THRESHOLDS[cut] for cut in best], np.stack(values))


def scores(corpus: Corpus, split: str, finder: Finder) -> np.ndarray:
    """The IoU of each image that shows the class at each threshold, `[images, thresholds]`."""
    return np.array(
        [overlaps(finder(sample), mask, CLASS, THRESHOLDS) for sample, mask in showing(corpus, split)]
    )


def showing(corpus: Corpus, split: str) -> Iterator[tuple[Sample, np.ndarray]]:
    """The images of a split whose mask shows the class, with their masks."""
    masked = [name for name in corpus.ids(split) if corpus.value(name, "mask_kind") == "mask"]
    for sample in corpus.rows(masked):
        if sample.mask is not None and (sample.mask == CLASS).any():
            yield sample, sample.mask


def table(steps: dict[str, Step], groups: Sequence[str]) -> str:
    """Markdown: the mean IoU of every step, what it has over the one before, each seed's IoU and cut."""
    before = dict(zip(list(steps)[1:], steps.values(), strict=False))
    lines = [
        f"IoU [95 % interval] over {len(groups)} images and {len(next(iter(steps.values())).cuts)} seeds",
        "",
    ]
    lines += ["| | IoU | over the row above | by seed | cut at |", "|---|---|---|---|---|"]
    for name, (cuts, values) in steps.items():
        gain = shown(values - before[name].values, groups, "+.3f") if name in before else "–"
        seeds = ", ".join(f"{value:.3f}" for value in values.mean(axis=(1, 2)))
        lines.append(
            f"| {name} | {shown(values, groups, '.3f')} | {gain} | {seeds} | {', '.join(map(str, cuts))} |"
        )
    return "\n".join(lines)


def shown(values: np.ndarray, groups: Sequence[str], form: str) -> str:
    interval: Interval = crossed_intervals(values, groups)[0]
    return f"{interval.mean:{form}} [{interval.low:{form}}, {interval.high:{form}}]"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus")
    parser.add_argument("--runs", nargs="+", required=True)
    parser.add_argument("--references", nargs="+", required=True)
    parser.add_argument("--split", choices=("val", "test"), default="test")
    given = parser.parse_args()
    runs, references = ([Store.at(path) for path in paths] for paths in (given.runs, given.references))
    main(Corpus.open(given.corpus), runs, references, given.split)
