"""Masks from image-level labels alone: the five stages on the phantom, with Ray Data, and again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from framework.core.errors import CheckpointError, ConfigError, CorpusError
from framework.core.storage import Store
from framework.corpus.label_layers import Layer
from framework.corpus.map_layers import MapLayer
from framework.corpus.reader import Corpus
from framework.experiments.pipeline.config import PipelineConfig
from framework.experiments.pipeline.run import run_stages
from framework.labelling.cam.job import Cam, Explain, Shown
from framework.labelling.job import make
from framework.labelling.masks import Masks
from framework.labelling.quality import measure_maps
from framework.labelling.walk.job import RandomWalk
from tests.methods.test_classifier import run_of

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_cluster")]

SHOWS = {"haemorrhage": ("lesions", "present")}
STAGES: list[dict[str, Any]] = [
    {"stage": "train", "name": "classifier", "set": {"train": {"steps": 30}}},
    {
        "stage": "cam",
        "model": "classifier",
        "settings": {"shows": SHOWS, "scales": [1.0], "splits": ["train", "test"]},
    },
    {"stage": "seeds", "settings": {"size": 48}},
    {
        "stage": "train",
        "name": "boundaries",
        "layers": ["seeds"],
        "set": {"method": {"name": "irnet", "radius": 4}},
    },
    {"stage": "random-walk", "settings": {"doublings": 4}},
    {"stage": "masks", "settings": {"threshold": 0.4}},
    {
        "stage": "train",
        "name": "segmenter",
        "layers": ["pseudo"],
        "set": {"method": {"name": "supervised"}, "network": {"name": "unet", "widths": [4, 8]}},
    },
    {"stage": "evaluate", "model": "segmenter"},
    {"stage": "report"},
]


def described(corpus: str, out: Path, stages: list[dict[str, Any]] = STAGES) -> PipelineConfig:
    return run_of(corpus, out, {"corpus": {"budget": {"share": 0}}, "train": {"steps": 6}, "stages": stages})


@pytest.fixture(scope="module")
def said() -> list[str]:
    """What the run said."""
    return []


@pytest.fixture(scope="module")
def root(phantom_url: str, said: list[str], tmp_path_factory: pytest.TempPathFactory) -> Store:
    return run_stages(described(phantom_url, tmp_path_factory.mktemp("weak")), said.append)


def test_images_have_a_map_for_what_their_labels_say(root: Store, phantom_url: str) -> None:
    corpus = Corpus.open(phantom_url)
    layer, column, class_id = MapLayer.open(corpus, (root / "maps").url), corpus.info.label("has_HE"), 2
    assert set(layer.classes) == {*corpus.ids("train"), *corpus.ids("test")}
    assert layer.classes == {
        n: [class_id] if corpus.value(n, "labels")[column] else [] for n in layer.classes
    }
    counts = layer.artifact["counts"]
    assert counts["with haemorrhage"] == sum(map(bool, layer.classes.values()))
    name = next(n for n, own in layer.classes.items() if own)
    actor = Explain(
        (root / "classifier").url, phantom_url, [Shown(class_id, 0, 1)], Cam.Config(**STAGES[1]["settings"])
    )
    prepared = actor.predictor.prepare(corpus.image(name))[None].astype(np.float32)
    (expected,) = actor.explain(prepared, actor.shown[0])
    assert expected.shape == (12, 12) and expected.max() == pytest.approx(1, abs=1e-5)
    assert layer.maps(name)[class_id] == pytest.approx(expected, abs=0.01)
    assert layer.maps(next(n for n, own in layer.classes.items() if not own)) == {}


def test_maps_and_masks_are_not_taken_for_each_other(root: Store, phantom_url: str) -> None:
    corpus = Corpus.open(phantom_url)
    with pytest.raises(CorpusError, match="holds a map layer, not a layer"):
        Layer.open(corpus, (root / "maps").url)
    with pytest.raises(CorpusError, match="holds a layer, not a map layer"):
        MapLayer.open(corpus, (root / "pseudo").url)
    with pytest.raises(CorpusError, match="is not there or not finished"):
        MapLayer.open(corpus, "nothing")


def test_every_stage_makes_what_the_next_one_reads(root: Store, phantom_url: str) -> None:
    corpus, class_id = Corpus.open(phantom_url), 2
    maps, walked = (MapLayer.open(corpus, (root / name).url) for name in ("maps", "walk"))
    positives = {name for name in corpus.ids("train") if class_id in maps.classes[name]}
    assert corpus.info.classes[class_id] == "haemorrhage" and positives
    assert walked.classes == maps.classes
    assert all(walked.maps(name)[class_id].max() == 1 for name in list(positives)[:5])
    seeds, pseudo = (Layer.open(corpus, (root / name).url) for name in ("seeds", "pseudo"))
    counts = (root / "seeds").read_json("artifact.json")["counts"]
    assert set(seeds.kinds) <= positives and set(seeds.kinds.values()) == {"seed"}
    assert len(seeds.kinds) == counts["rows"] and counts["rows"] + counts["without any seed"] == len(
        positives
    )
    assert set(pseudo.kinds) == set(corpus.ids("train"))
    for name in pseudo.kinds:
        shape = corpus.value(name, "height"), corpus.value(name, "width")
        assert set(np.unique(pseudo.mask(name, shape))) == ({0, class_id} if name in positives else {0})
    counts = (root / "segmenter").read_json("artifact.json")["counts"]
    assert counts["labelled_images"] == 0 and counts["pseudo_images"] == len(pseudo.kinds)
    assert (root / "pseudo").exists("quality.json")


def test_the_run_says_what_each_stage_made_and_the_report_shows_them(root: Store, said: list[str]) -> None:
    assert any("best validation AUC" in line for line in said)
    assert any("with haemorrhage" in line for line in said) and any(
        "without any seed" in line for line in said
    )
    assert any("background alone" in line for line in said)
    page = Path(root.url, "report.html").read_text()
    assert all(name in page for name in ("classifier", "boundaries", "segmenter", "walk", "seeds", "pseudo"))
    way = page.split('id="gallery"')[1].split("</section>")[0]
    assert way.count("data:image/png") == 4 and way.count('class="columns"') == 4
    heads = ("image", "CAM", "seeds", "boundary map", "walk", "mask", "prediction", "truth")
    assert [way.count(f"<b>{name}</b>") for name in heads] == [4] * len(heads)


def test_the_same_command_again_recognises_and_finishes(root: Store, phantom_url: str) -> None:
    """A walk that was cut off is finished with what is missing alone, as is a measurement; all else stays."""
    made = {path.parent.name: path.stat().st_mtime_ns for path in Path(root.url).glob("*/artifact.json")}
    before = MapLayer.open(Corpus.open(phantom_url), (root / "walk").url)
    rows = {name: before.maps(name) for name, own in before.classes.items() if own}
    (root / "pseudo").remove("quality.json")
    record = (root / "pseudo").read_json("artifact.json")
    (root / "pseudo").write_json(
        "artifact.json", record | {"files": without(record["files"], "quality.json"), "seal": ""}
    )
    (root / "walk").remove("artifact.json")
    (root / "walk").remove(next(name for name in (root / "walk").names() if name.startswith("rows-")))
    run_stages(described(phantom_url, Path(root.url).parent), lambda line: None)
    after = MapLayer.open(Corpus.open(phantom_url), (root / "walk").url)
    assert all(
        np.array_equal(after.maps(name)[k], values)
        for name, maps in rows.items()
        for k, values in maps.items()
    )
    again = {name: Path(root.url, name, "artifact.json").stat().st_mtime_ns for name in made}
    assert {name for name in made if made[name] != again[name]} == {"walk", "pseudo"}
    assert (root / "pseudo").exists("quality.json")


def without(files: dict[str, str], name: str) -> dict[str, str]:
    """Files that were recorded before another was written."""
    return {each: record for each, record in files.items() if each != name}


def test_iou_is_found_for_every_threshold_without_training(root: Store, phantom_url: str) -> None:
    corpus = Corpus.open(phantom_url)
    scores = measure_maps(corpus, MapLayer.open(corpus, (root / "walk").url), "test", [0.0, 0.5, 1.0])
    assert set(scores) == {"haemorrhage"}  # the other classes have no maps
    assert all(0 <= m.low <= m.mean <= m.high <= 1 for means in scores.values() for m in means)
    assert scores["haemorrhage"][-1].mean == 0  # nothing exceeds 1
    with pytest.raises(CorpusError, match="no image of split 'val' has both a map and a mask"):
        measure_maps(corpus, MapLayer.open(corpus, (root / "walk").url), "val", [0.5])


def test_what_does_not_fit_is_said(root: Store, phantom_url: str, tmp_path: Path) -> None:
    maps, classifier, boundaries = ((root / name).url for name in ("maps", "classifier", "boundaries"))
    with pytest.raises(ConfigError, match=r"settings.* background 0\.5 is over foreground 0\.3"):
        described(phantom_url, tmp_path, [{"stage": "seeds", "settings": {"background": 0.5}}])
    out = str(tmp_path / "out")
    with pytest.raises(ConfigError, match="a model of method 'classifier' finds no boundaries"):
        make(RandomWalk, RandomWalk.Config(), phantom_url, out, model=classifier, maps=maps)
    with pytest.raises(
        ConfigError, match="radius: neighbours within 12 reach across the whole map, 12 a side"
    ):
        make(RandomWalk, RandomWalk.Config(radius=12), phantom_url, out, model=boundaries, maps=maps)
    with pytest.raises(CorpusError, match="knows no image of val"):
        make(Masks, Masks.Config(splits=["val"]), phantom_url, out, maps=maps)
    assert not Path(out).exists()


def cam(model: Store, corpus: str, layer: str, config: Cam.Config) -> Store:
    return make(Cam, config, corpus, layer, model=model.url)


BAD = {
    "class": (
        {"haemorrhages": ("lesions", "present")},
        "no class 'haemorrhages'; did you mean 'haemorrhage'",
    ),
    "target": (
        {"haemorrhage": ("lesion", "present")},
        "the classifier has no target 'lesion'; did you mean 'lesions'",
    ),
    "answer": ({"haemorrhage": ("lesions", "yes")}, "target 'lesions' has no class 'yes'"),
}


@pytest.mark.parametrize("fault", BAD)
def test_names_that_are_not_there(fault: str, root: Store, phantom_url: str, tmp_path: Path) -> None:
    shows, message = BAD[fault]
    with pytest.raises(ConfigError, match=message):
        cam(root / "classifier", phantom_url, str(tmp_path / "bad"), Cam.Config(shows=shows))


def test_settings_of_another_kind_and_a_model_that_answers_nothing(
    root: Store, phantom_url: str, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match="another configuration or input"):
        cam(root / "classifier", phantom_url, (root / "maps").url, Cam.Config(shows=SHOWS, kind="cam"))
    with pytest.raises(ConfigError, match="nothing to explain"):
        cam(root / "segmenter", phantom_url, str(tmp_path / "bad"), Cam.Config(shows=SHOWS))
