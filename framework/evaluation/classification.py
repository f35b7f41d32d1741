"""Ask a model its questions about every image of a split: a table of answers, and the summary of each target."""

from __future__ import annotations

import io
from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import csv

from framework.core.errors import CorpusError
from framework.core.storage import Store
from framework.corpus.reader import Corpus, Sample
from framework.inference.predictor import Predictor
from framework.metrics.classification import SCHEMA, answer_row, summarise_answers

BATCH = 16


def score_answers(corpus: Corpus, predictor: Predictor, split: str, out: Store) -> dict[str, Any]:
    """Write `answers.parquet` and `answers.csv`, one row per target and image; gives the summaries by target.

    Images whose class is not known are answered, with no truth beside, and not counted. Raises `CorpusError` when there is none
    whose class is known.
    """
    rows = [row for samples in _batches(corpus, corpus.ids(split)) for row in _answers(predictor, samples)]
    table = pa.Table.from_pylist(rows, schema=SCHEMA)
    for target in predictor.method.targets:
        if not any(row["target"] == target.name and row["truth"] is not None for row in rows):
            label, where = corpus.info.labels[target.column].name, f"corpus '{corpus.info.name}'"
            raise CorpusError(
                f"{where}: no image of split '{split}' has label '{label}'; nothing to measure against"
            )
    out.write_table("answers.parquet", table)
    buffer = io.BytesIO()
    probability = pa.array([" ".join(f"{p:.6f}" for p in row["probability"]) for row in rows], pa.string())
    csv.write_csv(
        table.set_column(table.schema.get_field_index("probability"), "probability", probability), buffer
    )
    out.write_bytes("answers.csv", buffer.getvalue())
    return {target.name: summarise_answers(table, target) for target in predictor.method.targets}


def _answers(predictor: Predictor, samples: list[Sample]) -> Iterator[dict[str, Any]]:
    found = predictor.answers(np.stack([predictor.prepare(sample.image) for sample in samples]))
    for i, sample in enumerate(samples):
        for target in predictor.method.targets:
            truth = target.of_one(sample.labels.tolist())
            yield answer_row(
                target, sample.id, sample.group, truth, found[target.name][i].numpy().astype(np.float64)
            )


def _batches(corpus: Corpus, names: list[str]) -> Iterator[list[Sample]]:
    stream = corpus.rows(names)
    while samples := list(islice(stream, BATCH)):
        yield samples
