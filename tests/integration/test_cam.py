"""Maps of a whole corpus: for what the labels say, streamed, resumable."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from framework.corpus.layers import Layer
from framework.corpus.map_layers import MapLayer
from framework.corpus.reader import Corpus
from framework.errors import CheckpointError, ConfigError, CorpusError
from framework.inference.cam_job import Explain, Shown, make_maps
from framework.inference.settings import CamConfig
from framework.pipeline.run import run_stages
from framework.storage import Store
from framework.training.run import train
from tests.contract.support import tiny_run
from tests.test_answers import run_of

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_cluster")]

SHOWS = {"haemorrhage": ("lesions", "present")}


@pytest.fixture(scope="module")
def model(phantom_url: str, tmp_path_factory: pytest.TempPathFactory) -> Store:
    return train(run_of(phantom_url, tmp_path_factory.mktemp("cam"), {"train": {"steps": 10}}))


def test_images_have_a_map_for_what_their_labels_say(model: Store, phantom_url: str) -> None:
    config = CamConfig(shows=SHOWS, scales=[1.0, 0.5], splits=["train", "val"], batch=8)
    out = make_maps(model, phantom_url, "he", config)
    corpus = Corpus.open(phantom_url)
    layer, column = MapLayer.open(corpus, "he"), corpus.info.label("has_HE")
    assert set(layer.classes) == {*corpus.ids("train"), *corpus.ids("val")}
    class_id = corpus.info.classes.index("haemorrhage")
    assert layer.classes == {n: [class_id] if corpus.value(n, "labels")[column] else [] for n in layer.classes}
    counts = out.read_json("artefact.json")["counts"]
    assert counts["images_with"] == {"haemorrhage": sum(map(bool, layer.classes.values()))}
    name = next(n for n, held in layer.classes.items() if held)
    actor = Explain(model.url, phantom_url, [Shown(class_id, 0, 1)], config)
    prepared = actor.predictor.prepare(corpus.image(name))[None].astype(np.float32)
    (expected,) = actor.explain(prepared, actor.shown[0])
    assert expected.shape == (12, 12) and expected.max() == pytest.approx(1, abs=1e-5)
    assert layer.maps(name)[class_id] == pytest.approx(expected, abs=0.01)
    assert layer.maps(next(n for n, held in layer.classes.items() if not held)) == {}


def test_an_interrupted_layer_does_only_what_is_missing(model: Store, phantom_url: str) -> None:
    config = CamConfig(shows=SHOWS, scales=[1.0], batch=8)
    out = make_maps(model, phantom_url, "resumed", config)
    parts = [name for name in out.names() if name.startswith("rows-")]
    out.remove("artefact.json")
    out.remove(parts[0])
    kept = {name: Path(out.url, name).stat().st_mtime_ns for name in parts[1:]}
    assert make_maps(model, phantom_url, "resumed", config) == out
    assert {name: Path(out.url, name).stat().st_mtime_ns for name in parts[1:]} == kept
    assert set(MapLayer.open(Corpus.open(phantom_url), "resumed").classes) == set(Corpus.open(phantom_url).ids("train"))
    with pytest.raises(CheckpointError, match="another configuration or input"):
        make_maps(model, phantom_url, "resumed", config.model_copy(update={"kind": "cam"}))
    with pytest.raises(CorpusError, match="holds a map layer, not a layer"):
        Layer.open(Corpus.open(phantom_url), "resumed")


BAD = {
    "class": ({"haemorrhages": ("lesions", "present")}, "no class 'haemorrhages'; did you mean 'haemorrhage'"),
    "target": ({"haemorrhage": ("lesion", "present")}, "the classifier has no target 'lesion'; did you mean 'lesions'"),
    "answer": ({"haemorrhage": ("lesions", "yes")}, "target 'lesions' has no class 'yes'"),
}


@pytest.mark.parametrize("fault", BAD)
def test_names_that_are_not_there(fault: str, model: Store, phantom_url: str) -> None:
    shows, message = BAD[fault]
    with pytest.raises(ConfigError, match=message):
        make_maps(model, phantom_url, "bad", CamConfig(shows=shows))


def test_a_model_that_answers_nothing(phantom_url: str, tmp_path: Path) -> None:
    segmenter = train(tiny_run(phantom_url, "supervised", tmp_path))
    with pytest.raises(ConfigError, match="nothing to explain"):
        make_maps(segmenter, phantom_url, "bad", CamConfig(shows=SHOWS))
    with pytest.raises(CorpusError, match="is not there or not finished"):
        MapLayer.open(Corpus.open(phantom_url), "nothing")


def test_as_stages_of_a_run(phantom_url: str, tmp_path: Path) -> None:
    stages = [
        {"stage": "train"},
        {"stage": "cam", "settings": {"shows": SHOWS, "scales": [1.0], "splits": ["test"]}},
        {"stage": "evaluate"},
        {"stage": "report"},
    ]
    said: list[str] = []
    root = run_stages(run_of(phantom_url, tmp_path, {"train": {"steps": 4}, "stages": stages}), said.append)
    assert any("images mapped" in line for line in said) and any("lesions: AUC" in line for line in said)
    assert MapLayer.open(Corpus.open(phantom_url), (root / "maps").url).classes
    assert "maps" in root.read_text("report.html")
