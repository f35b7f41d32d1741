from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from framework.core.artifact import ArtifactSpec, Input, finish
from framework.core.errors import CorpusError, RowError
from framework.core.storage import Store
from framework.corpus.label_layers import Layer, layer_store
from framework.corpus.reader import Corpus

WriteLayer = Callable[..., str]
FIRST, SECOND = "phantom-000000", "phantom-000007"


@pytest.fixture
def corpus(phantom_url: str) -> Corpus:
    return Corpus.open(phantom_url)


def test_a_layer_lies_beside_its_corpus_or_where_its_path_says(tmp_path: Path) -> None:
    corpus = Store.at("s3://scans/c")
    assert layer_store(corpus, "round-1").url == "s3://scans/c/layers/round-1"
    assert layer_store(corpus, "s3://other/layer").url == "s3://other/layer"
    assert layer_store(corpus, str(tmp_path / "layer")).url == str(tmp_path / "layer")


def test_a_layer_gives_kinds_and_masks(corpus: Corpus, tmp_path: Path, write_layer: WriteLayer) -> None:
    mask = np.full((48, 48), 255, np.uint8)
    mask[:9] = 4
    layer = Layer.open(
        corpus, write_layer(tmp_path / "one", corpus.store.url, {SECOND: mask, FIRST: mask.T.copy()}, "box")
    )
    assert layer.kinds == {SECOND: "box", FIRST: "box"}
    assert np.array_equal(layer.mask(SECOND, (48, 48)), mask)
    assert np.array_equal(layer.mask(FIRST, (48, 48)), mask.T)
    with pytest.raises(RowError, match="mask is 48 x 48 but its image is 50 x 48"):
        layer.mask(FIRST, (48, 50))


def test_a_layer_of_unknown_classes_is_refused_where_it_is_read(
    corpus: Corpus, tmp_path: Path, write_layer: WriteLayer
) -> None:
    layer = Layer.open(
        corpus, write_layer(tmp_path / "one", corpus.store.url, {FIRST: np.full((48, 48), 5, np.uint8)})
    )
    with pytest.raises(RowError, match="unknown class ids"):
        layer.mask(FIRST, (48, 48))


def test_a_layer_that_is_not_there_or_of_another_corpus_says_so(
    corpus: Corpus, tmp_path: Path, write_layer: WriteLayer
) -> None:
    with pytest.raises(
        CorpusError, match="layer 'round-1' of corpus 'phantom' is not there or not finished; known: none"
    ):
        Layer.open(corpus, "round-1")
    store = Store.at(write_layer(tmp_path / "one", corpus.store.url, {}))
    assert Layer.open(corpus, store.url).kinds == {}
    record = {"kind": "layer", "hash": "h", "inputs": {"corpus": {"path": "", "hash": "older"}}, "counts": {}}
    store.write_json("artifact.json", record | {"kind": "model"})
    with pytest.raises(CorpusError, match="holds a model, not a layer"):
        Layer.open(corpus, store.url)
    store.write_json("artifact.json", record)
    with pytest.raises(
        CorpusError, match=r"was made for corpus version older, and this is .*; make it again, with `scantseg"
    ):
        Layer.open(corpus, store.url)


def test_a_table_of_weights_is_no_layer_of_masks(corpus: Corpus, tmp_path: Path) -> None:
    """The weights of DII were read as one, and the reader fell over a column that is not there."""
    store, inputs = Store.at(tmp_path / "indicators"), {"corpus": Input("c", corpus.info.version)}
    finish(store, ArtifactSpec("layer", inputs, {}), {"rows": 3, "masks": 0}, 0.0)
    with pytest.raises(CorpusError, match="layer 'indicators' holds a weight for each image and no masks"):
        Layer.open(corpus, store.url)
