"""Masks cut out of maps: what each kind of image becomes, and that it is counted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from framework.core.artifact import ArtifactSpec, Input, finish, summary
from framework.core.errors import ConfigError
from framework.core.labels import IGNORE
from framework.core.storage import Store
from framework.corpus.label_layers import Layer
from framework.corpus.layer_writer import write_part
from framework.corpus.map_layers import MAP_ROW, encode_maps
from framework.corpus.reader import Corpus
from framework.labelling.masks import cut, make_masks
from framework.labelling.settings import ThresholdConfig

LESION = 2


def write_maps(out: Store, corpus: Corpus, maps: dict[str, dict[int, np.ndarray]]) -> Store:
    write_part(out, "rows", [{"id": name, **encode_maps(held)} for name, held in maps.items()], MAP_ROW)
    inputs = {"corpus": Input(corpus.store.url, corpus.info.version)}
    finish(out, ArtifactSpec("map layer", inputs, {}), {"rows": len(maps), "quarantined": 0}, 1.0)
    return out


def test_a_map_that_nowhere_reaches_the_threshold_claims_nothing() -> None:
    assert (cut({LESION: np.full((2, 2), 0.2, np.float32)}, (4, 4), ThresholdConfig()) == IGNORE).all()


def test_between_the_thresholds_nothing_is_claimed() -> None:
    steps = np.array([[0.2, 0.5, 0.9]], np.float32)
    between = ThresholdConfig(threshold=0.7, background=0.4)
    assert cut({LESION: steps}, (1, 3), between).tolist() == [[0, IGNORE, LESION]]
    assert cut({LESION: steps, 5: steps[:, ::-1].copy()}, (1, 3), between).tolist() == [[5, IGNORE, LESION]]
    assert cut({LESION: steps}, (1, 3), ThresholdConfig(threshold=0.7)).tolist() == [[0, 0, LESION]]


def test_scattered_evidence_claims_nothing() -> None:
    one, two = np.array([[0.9, 0.9, 0.1, 0.1]], np.float32), np.array([[0.1, 0.9, 0.1, 0.9]], np.float32)
    config = ThresholdConfig(max_components=1)
    assert cut({LESION: one}, (1, 4), config).tolist() == [[LESION, LESION, 0, 0]]
    assert (cut({LESION: two}, (1, 4), config) == IGNORE).all()
    assert cut({LESION: two}, (1, 4), ThresholdConfig(max_components=2)).tolist() == [[0, LESION, 0, LESION]]
    assert cut({LESION: one, 5: 1 - one}, (1, 4), config).tolist() == [[LESION, LESION, 5, 5]], (
        "each class counts for itself"
    )
    assert not cut({}, (1, 4), config).any()


def test_thresholds_in_the_wrong_order_are_named(phantom_url: str, tmp_path: Path) -> None:
    config = ThresholdConfig(threshold=0.3, background=0.4)
    with pytest.raises(ConfigError, match=r"background 0\.4 is over threshold 0\.3; masks need it below"):
        make_masks(phantom_url, str(tmp_path / "maps"), str(tmp_path / "masks"), config)


def test_a_positive_image_below_the_threshold_is_counted_and_teaches_nothing(
    phantom_url: str, tmp_path: Path
) -> None:
    corpus = Corpus.open(phantom_url)
    negative, faint, clear = corpus.ids("train")[:3]
    peak = np.zeros((12, 12), np.float32)
    peak[3:6, 3:6] = 1
    held = {negative: {}, faint: {LESION: peak * 0.2}, clear: {LESION: peak}}
    maps = write_maps(Store.at(tmp_path / "maps"), corpus, held)
    out = make_masks(phantom_url, maps.url, str(tmp_path / "masks"), ThresholdConfig())
    layer = Layer.open(corpus, out.url)
    assert layer.kinds == {negative: "pseudo", clear: "pseudo"}
    assert not layer.mask(negative, (48, 48)).any() and set(np.unique(layer.mask(clear, (48, 48)))) == {
        0,
        LESION,
    }
    counts = layer.artifact["counts"]
    assert (counts["rows"], counts["without_class"], counts["without_mask"], counts["quarantined"]) == (
        2,
        1,
        1,
        0,
    )
    assert (
        summary(out)
        == "2 images, 1 of them background alone, 1 without a mask that is clear enough, 0 quarantined"
    )
