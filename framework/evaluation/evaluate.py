"""Predict the labelled images of a split and score them: tables, summary with intervals, and pictures."""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

import numpy as np
from torch import Tensor

from framework.core.artifact import ArtifactSpec, Input, finish, input_of, is_finished
from framework.core.errors import CorpusError
from framework.core.labels import IGNORE
from framework.core.lock import lock
from framework.core.storage import Store
from framework.corpus.reader import Corpus, Sample
from framework.evaluation.cases import case_rows, summarise, write_cases
from framework.evaluation.classification import batches, classify
from framework.evaluation.explained import write_explained
from framework.evaluation.pooled import pooled_rows, summarise_pooled, write_pooled
from framework.evaluation.summary import FILE as SUMMARY
from framework.evaluation.summary import read_summary
from framework.imaging.overlay import panels
from framework.inference.predictor import Predictor
from framework.metrics.base import CaseMetric
from framework.metrics.registry import METRICS, leading

SHOWN = 3  # pictures of each of the worst, the median and the best cases
MEANS = "over cases that have the structure"
"""The rule of the headline: an evaluation under another rule is another one."""
Rows = list[dict[str, Any]]
Shown = tuple[float | None, str, str]
"""A case's mean over the classes that it has of the leading metric, by the first predictor, None where it has
none; its name; the image to show."""


@dataclass
class Case:
    """A volume or a single image, with the predictions of every predictor."""

    name: str
    group: str
    spacing: list[float] | None
    samples: list[Sample] = field(default_factory=list)
    predicted: list[dict[str, np.ndarray]] = field(default_factory=list)
    """By slice and predictor, the masks of all classes but the background, bool `[K-1, H, W]`."""
    pooled: Rows = field(default_factory=list)
    """What the first predictor's probabilities contribute to pooled metrics, where lesions may overlap."""

    def add(self, sample: Sample, probability: dict[str, Tensor], predictor: Predictor) -> None:
        self.samples.append(sample)
        self.predicted.append({name: predictor.planes(p) for name, p in probability.items()})
        if predictor.method.multilabel:
            self.pooled += pooled_rows(sample, next(iter(probability.values())), predictor.card.info.classes)

    def rows(self, predictor: str, classes: Sequence[str], unit: str) -> Rows:
        """The case's rows of the per-case table: of its whole volume, or of its only image.

        Distances are in `unit`, "mm" or "px".
        """
        order = sorted(range(len(self.samples)), key=lambda i: self.samples[i].slice or 0)
        truth = np.stack([self.samples[i].planes(len(classes)) for i in order], axis=1)
        predicted = np.stack([self.predicted[i][predictor] for i in order], axis=1)
        ignored, spacing = np.stack([self.samples[i].mask == IGNORE for i in order]), None
        if unit == "mm":
            spacing = self.spacing
        if self.samples[0].volume is None:
            truth, predicted, ignored = truth[:, 0], predicted[:, 0], ignored[0]
            spacing = spacing and spacing[-2:]
        return case_rows(predictor, self.name, self.group, truth, predicted, ignored, classes, spacing)


def evaluate(model: Store, corpus_url: str, out: Store, split: str = "test") -> dict[str, Any]:
    """Score a model's masks, its classes of whole images, or both; writes the artifact, gives its summary.

    Images are scored at their own size, those with a volume id as stacked volumes. Distances are in mm when
    every image has a spacing, in pixels otherwise. In a corpus of bits each lesion is scored by its whole
    mask, also where others lie over it. `CorpusError` when a model of volumes meets an image of no volume.
    """
    corpus = Corpus.open(corpus_url)
    inputs = {"model": input_of(model, "model"), "corpus": Input(corpus.store.url, corpus.info.version)}
    settings = {"split": split, "metrics": list(METRICS), "means": MEANS}
    spec = ArtifactSpec("evaluation", inputs, settings)
    if is_finished(out, spec):
        return read_summary(out)
    with lock(out, spec.hash):
        started, predictor = time.perf_counter(), Predictor(model)
        predictor.card.require_fits(corpus.info)
        images = len(corpus.ids(split))
        summary: dict[str, Any] = {"split": split, "cases": images}
        if predictor.method.segments:
            summary |= _score_masks(corpus, predictor, split, out)
        if predictor.method.targets:
            summary["targets"] = classify(corpus, predictor, split, out)
        out.write_json(SUMMARY, summary)
        counts = {"cases": summary["cases"], "images": images, **_speed(predictor)}
        finish(out, spec, counts, time.perf_counter() - started)
    return summary


def _speed(predictor: Predictor) -> dict[str, float]:
    """Seconds that the network took for a picture, its resizing included."""
    return {"seconds_per_image": round(predictor.seconds / predictor.images, 5)} if predictor.images else {}


def _score_masks(corpus: Corpus, predictor: Predictor, split: str, out: Store) -> dict[str, Any]:
    names = scored_images(corpus, split)
    unit = unit_of(corpus, names)
    rows, shown, pooled = _score_all(corpus, predictor, names, unit)
    table, dimension = write_cases(out, rows), 3 if any(corpus.value(name, "volume") for name in names) else 2
    _write_pictures(out, corpus, predictor, shown)
    if not predictor.run.corpus.patch:
        write_explained(out, corpus, predictor, [image for *_, image in shown])
    summary = summarise(table, corpus.info.classes, split=split, unit=unit, dimension=dimension)
    return summary | ({"pooled": summarise_pooled(write_pooled(out, pooled))} if pooled else {})


def unit_of(corpus: Corpus, names: Sequence[str]) -> str:
    """What distances in these images are measured in: "mm" where all have a spacing, else "px" in all."""
    return "mm" if all(corpus.value(name, "spacing") for name in names) else "px"


def scored_images(corpus: Corpus, split: str) -> list[str]:
    """The images of a split that have true masks, in order; raises `CorpusError` when there are none."""
    ids = [name for name in corpus.ids(split) if corpus.value(name, "mask_kind") == "mask"]
    if not ids:
        lacking = f"corpus '{corpus.info.name}': no image of split '{split}' has a mask"
        raise CorpusError(f"{lacking}; nothing to measure against")
    return ids


def _score_all(
    corpus: Corpus, predictor: Predictor, ids: list[str], unit: str
) -> tuple[Rows, list[Shown], Rows]:
    """All rows of the per-case table, what a picture of each case needs, and all rows of the pooled table."""
    rows: Rows = []
    shown: list[Shown] = []
    pooled: Rows = []
    for case in (volume_cases if predictor.run.corpus.patch else image_cases)(corpus, predictor, ids):
        scores = {name: case.rows(name, corpus.info.classes, unit) for name in case.predicted[0]}
        first = next(iter(scores.values()))
        fullest = max(case.samples, key=lambda sample: sample.structure)
        shown.append((mean_score(first), case.name, fullest.id))
        rows += [row for each in scores.values() for row in each]
        pooled += case.pooled
    return rows, shown, pooled


def mean_score(rows: Rows) -> float | None:
    """A case's mean of the leading metric over the classes that it has; None where it has none."""
    scores = [row[leading(CaseMetric).key] for row in rows if row["truth"]]
    return fmean(scores) if scores else None


def image_cases(corpus: Corpus, predictor: Predictor, ids: list[str]) -> Iterator[Case]:
    """Predict image after image; a case comes out when its last slice is through, so memory holds few."""
    left = Counter(corpus.value(name, "volume") or name for name in ids)
    open_cases: dict[str, Case] = {}
    for samples in batches(corpus, ids):
        probabilities = predictor.at_own_sizes([sample.image for sample in samples])
        for sample, probability in zip(samples, probabilities, strict=True):
            key = sample.volume or sample.id
            case = open_cases.setdefault(key, Case(key, sample.group, sample.spacing))
            case.add(sample, probability, predictor)
            if len(case.samples) == left[key]:
                yield open_cases.pop(key)


def volume_cases(corpus: Corpus, predictor: Predictor, ids: list[str]) -> Iterator[Case]:
    """Predict volume after volume from all slices, and keep those that are to be scored."""
    wanted = set(ids)
    for volume, names in corpus.volumes(corpus.value(ids[0], "split")).items():
        if wanted.isdisjoint(names):
            continue
        samples = [corpus.read(name) for name in names]
        probabilities = predictor.at_own_sizes([sample.image for sample in samples])
        case = Case(volume, samples[0].group, samples[0].spacing)
        for sample, probability in zip(samples, probabilities, strict=True):
            if sample.id in wanted:
                case.add(sample, probability, predictor)
        yield case


def _write_pictures(out: Store, corpus: Corpus, predictor: Predictor, shown: list[Shown]) -> None:
    """Panels of the worst, median and best of the cases that have a structure, predicted anew, so that no
    image is kept until then."""
    metric = leading(CaseMetric)
    sign = 1 if metric.larger_is_better else -1
    scored = [(score, case, name) for score, case, name in shown if score is not None]
    ranked = sorted(scored, key=lambda entry: (sign * entry[0], entry[1]))
    middle = max(0, (len(ranked) - SHOWN) // 2)
    chosen = {"worst": ranked[:SHOWN], "median": ranked[middle : middle + SHOWN], "best": ranked[-SHOWN:]}
    listed = []
    for rank, entries in chosen.items():
        for i, (score, case, name) in enumerate(entries):
            file, sample = f"{rank}-{i}.png", corpus.read(name)
            assert sample.mask is not None
            masks = sample.mask, predicted_mask(corpus, predictor, sample)
            out.write_bytes(file, panels(sample.image, *masks))
            listed.append({"case": case, "rank": rank, metric.key: score, "file": file})
    out.write_json("pictures.json", listed)


def predicted_mask(corpus: Corpus, predictor: Predictor, sample: Sample) -> np.ndarray:
    """The first predictor's mask of one image, with its whole volume where the model takes volumes."""
    names, images = [sample.id], [sample.image]
    if predictor.run.corpus.patch:
        assert sample.volume is not None
        names = corpus.volumes(sample.split)[sample.volume]
        images = [corpus.image(name) for name in names]
    return next(iter(predictor.segment(images).values()))[names.index(sample.id)]
