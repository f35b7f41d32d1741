"""Whole images of a split, classified by a model: a table of its predictions, and each target's summary."""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa

from framework.core.errors import CorpusError
from framework.core.storage import Store
from framework.corpus.reader import Corpus, Sample
from framework.corpus.targets import UNKNOWN, Target
from framework.evaluation.cases import write_csv
from framework.inference.predictor import Predictor
from framework.metrics.base import ImageMetric, Numbers, Predictions
from framework.metrics.bootstrap import METHOD, resamples, spread_interval
from framework.metrics.registry import metrics_of

BATCH = 16  # images of a forward pass
FILE = "classification.parquet"
SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("target", "id", "group", "truth", "prediction")]
    + [("probability", pa.list_(pa.float64()))]
)


def classify(corpus: Corpus, predictor: Predictor, split: str, out: Store) -> dict[str, Any]:
    """Write `classification.parquet` and `.csv`, one row per target and image; gives the summaries by target.

    Images of unknown class have no truth and do not count; `CorpusError` when all are.
    """
    rows = [row for samples in batches(corpus, corpus.ids(split)) for row in _rows(predictor, samples)]
    table, targets = pa.Table.from_pylist(rows, schema=SCHEMA), predictor.method.targets
    for target in targets:
        if not any(row["target"] == target.name and row["truth"] is not None for row in rows):
            lacking = f"no image of split '{split}' has label '{corpus.info.labels[target.column].name}'"
            raise CorpusError(f"corpus '{corpus.info.name}': {lacking}; nothing to measure against")
    out.write_table(FILE, table)
    text = pa.array([" ".join(f"{p:.6f}" for p in row["probability"]) for row in rows], pa.string())
    write_csv(out, "classification.csv", table.drop("probability").append_column("probability", text))
    return {target.name: summarise_target(table, target) for target in targets}


def prediction_row(target: Target, name: str, group: str, truth: int, probability: Numbers) -> dict[str, Any]:
    """The row of one image: the classes' names, and the probability of each."""
    true = target.classes[truth] if truth != UNKNOWN else None
    predicted = target.classes[int(probability.argmax())]
    values = (target.name, name, group, true, predicted, probability.tolist())
    return dict(zip(SCHEMA.names, values, strict=True))


def summarise_target(table: pa.Table, target: Target) -> dict[str, Any]:
    """One target's part of `summary.json`, of the images whose class is known; None where undefined."""
    once, drawn = known_predictions(table, target.name, target.classes)
    rows = (row for row in table.to_pylist() if row["target"] == target.name and row["truth"] is not None)
    return {
        "classes": list(target.classes),
        "images": len(once.truth),
        "groups": len({row["group"] for row in rows}),
        "interval": METHOD,
        "confusion": once.confusion[0].astype(int).tolist(),
        **{m.key: spread_interval(m.compute(once)[0], m.compute(drawn)) for m in metrics_of(ImageMetric)},
    }


def known_predictions(table: pa.Table, target: str, classes: Sequence[str]) -> tuple[Predictions, ...]:
    """A target's images whose class is known: each counted once, and in every resample of their groups."""
    rows = [row for row in table.to_pylist() if row["target"] == target and row["truth"] is not None]
    truth = np.array([list(classes).index(row["truth"]) for row in rows])
    probability = np.array([row["probability"] for row in rows])
    weights = np.ones((1, len(rows))), resamples([row["group"] for row in rows])
    return tuple(Predictions(truth, probability, weight) for weight in weights)


def _rows(predictor: Predictor, samples: list[Sample]) -> Iterator[dict[str, Any]]:
    predicted = predictor.classify(np.stack([predictor.prepare(sample.image) for sample in samples]))
    for i, sample in enumerate(samples):
        for target in predictor.method.targets:
            truth, probability = target.of_one(sample.labels.tolist()), predicted[target.name][i].numpy()
            yield prediction_row(target, sample.id, sample.group, truth, probability.astype(np.float64))


def batches(corpus: Corpus, names: list[str]) -> Iterator[list[Sample]]:
    """Rows in stored order, as many at a time as the network sees."""
    stream = corpus.rows(names)
    while samples := list(islice(stream, BATCH)):
        yield samples
