"""How well maps outline what masks show."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from framework.core.storage import Store
from framework.corpus.reader import Corpus
from framework.corpus.sources.folder import folder_source
from framework.corpus.writer import pack
from framework.labelling.quality import THRESHOLDS, measure_layer, overlaps


def test_the_best_cut_of_a_map_with_one_high_peak_is_tried() -> None:
    """A walk gathers evidence in few places; the largest value is 1, most of the object is far below."""
    mask, evidence = np.zeros((4, 4), np.uint8), np.full((4, 4), 0.01, np.float32)
    mask[1:3], evidence[1:3], evidence[1, 1] = 1, 0.08, 1.0
    scores = overlaps(evidence, mask, 1, THRESHOLDS)
    assert THRESHOLDS[scores.index(max(scores))] == 0.05 and max(scores) == 1


def test_cuts_are_even() -> None:
    assert np.diff(THRESHOLDS) == pytest.approx(np.full(len(THRESHOLDS) - 1, 0.05)) and THRESHOLDS[-1] == 0.95


def test_pixels_without_a_true_label_count_in_no_overlap() -> None:
    mask, evidence = np.zeros((4, 4), np.uint8), np.zeros((4, 4), np.float32)
    mask[1], mask[2], evidence[1:3] = 1, 255, 1.0
    assert overlaps(evidence, mask, 1, [0.5]) == [1.0]
    assert overlaps(None, mask, 1, [0.5]) == [0.0]


def test_accuracy_is_over_the_pixels_that_both_claim(
    folder: Path, tmp_path: Path, write_layer: Callable[..., str]
) -> None:
    file = folder / "masks" / "case-00.png"
    truth = np.array(Image.open(file))
    truth[4:6] = 255  # two of the eight rows of the first structure
    Image.fromarray(truth).save(file)
    pack(folder_source(Store.at(folder), "c", ["background", "a", "b"]), Store.at(tmp_path / "corpus"))
    claimed = np.full_like(truth, 255)
    claimed[4:12, 3:10] = 1  # and one column too many
    corpus = Corpus.open(str(tmp_path / "corpus"))
    layer = Store.at(write_layer(tmp_path / "layer", corpus.store.url, {"case-00": claimed}))
    record = layer.read_json("artifact.json")
    record["counts"]["classes"] = {name: {"predicted": 112, "kept": 56} for name in corpus.info.classes}
    layer.write_json("artifact.json", record)
    measured = measure_layer(corpus, layer)
    assert measured is not None and measured["images"] == 1
    assert measured["classes"]["a"] == {"kept_share": 0.5, "accuracy": 36 / 42, "pixels": 42}
    assert measured["classes"]["b"]["accuracy"] is None
