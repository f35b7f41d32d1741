"""Masks cut out of maps: what each kind of image becomes, and that it is counted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from framework.core.artifact import ArtifactSpec, Input, finish, summary
from framework.core.config_files import parse
from framework.core.errors import ConfigError
from framework.core.labels import IGNORE
from framework.core.storage import Store
from framework.corpus.label_layers import Layer
from framework.corpus.layer_writer import write_part
from framework.corpus.map_layers import MAP_ROW, encode_maps
from framework.corpus.reader import Corpus
from framework.labelling.cutting import cut
from framework.labelling.job import make
from framework.labelling.masks import Masks

LESION = 2


def write_maps(out: Store, corpus: Corpus, maps: dict[str, dict[int, np.ndarray]]) -> Store:
    write_part(out, "rows", [{"id": name, **encode_maps(own)} for name, own in maps.items()], MAP_ROW)
    inputs = {"corpus": Input(corpus.store.url, corpus.info.version)}
    finish(out, ArtifactSpec("map layer", inputs, {}), {"rows": len(maps), "quarantined": 0}, 1.0)
    return out


def test_a_map_that_nowhere_reaches_the_threshold_claims_nothing() -> None:
    assert (cut({LESION: np.full((2, 2), 0.2, np.float32)}, (4, 4), 0.3) == IGNORE).all()


def test_between_the_thresholds_nothing_is_claimed() -> None:
    steps = np.array([[0.2, 0.5, 0.9]], np.float32)
    assert cut({LESION: steps}, (1, 3), 0.7, 0.4).tolist() == [[0, IGNORE, LESION]]
    assert cut({LESION: steps, 5: steps[:, ::-1].copy()}, (1, 3), 0.7, 0.4).tolist() == [[5, IGNORE, LESION]]
    assert cut({LESION: steps}, (1, 3), 0.7).tolist() == [[0, 0, LESION]]


def test_scattered_evidence_claims_nothing() -> None:
    one, two = np.array([[0.9, 0.9, 0.1, 0.1]], np.float32), np.array([[0.1, 0.9, 0.1, 0.9]], np.float32)
    assert cut({LESION: one}, (1, 4), 0.3, None, 1).tolist() == [[LESION, LESION, 0, 0]]
    assert (cut({LESION: two}, (1, 4), 0.3, None, 1) == IGNORE).all()
    assert cut({LESION: two}, (1, 4), 0.3, None, 2).tolist() == [[0, LESION, 0, LESION]]
    assert cut({LESION: one, 5: 1 - one}, (1, 4), 0.3, None, 1).tolist() == [[LESION, LESION, 5, 5]], (
        "each class counts for itself"
    )
    assert not cut({}, (1, 4), 0.3, None, 1).any()


def test_thresholds_in_the_wrong_order_are_named() -> None:
    with pytest.raises(ConfigError, match=r"background 0\.4 is over threshold 0\.3; masks need it below"):
        parse({"threshold": 0.3, "background": 0.4}, Masks.Config)


def test_a_positive_image_below_the_threshold_is_counted_and_teaches_nothing(
    phantom_url: str, tmp_path: Path
) -> None:
    corpus = Corpus.open(phantom_url)
    negative, faint, clear = corpus.ids("train")[:3]
    peak = np.zeros((12, 12), np.float32)
    peak[3:6, 3:6] = 1
    evidence = {negative: {}, faint: {LESION: peak * 0.2}, clear: {LESION: peak}}
    maps = write_maps(Store.at(tmp_path / "maps"), corpus, evidence)
    out = make(Masks, Masks.Config(), phantom_url, str(tmp_path / "masks"), maps=maps.url)
    layer = Layer.open(corpus, out.url)
    assert layer.kinds == {negative: "pseudo", clear: "pseudo"}
    assert not layer.mask(negative, (48, 48)).any() and set(np.unique(layer.mask(clear, (48, 48)))) == {
        0,
        LESION,
    }
    counts = layer.artifact["counts"]
    assert counts["rows"] == 2 and counts["quarantined"] == 0
    assert (
        summary(out)
        == "2 images, 1 of them background alone, 1 without a mask that is clear enough, 0 quarantined"
    )
