"""The report's picture of the whole way from maps to masks, of layers and models that are made without
Ray."""

from __future__ import annotations

import html
import io
import re
from base64 import b64decode
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from framework.core.artifact import ArtifactSpec, Input, finish, input_of
from framework.core.labels import IGNORE
from framework.core.storage import Store
from framework.corpus.layer_writer import LayerWriter, write_part
from framework.corpus.map_layers import MAP_ROW, MapLayer, encode_maps
from framework.corpus.reader import Corpus
from framework.imaging.overlay import GAP, SMALLEST, colour_of, rgb
from framework.labelling.job import make
from framework.labelling.masks import Masks
from framework.reporting.label_to_mask_gallery import beginning, choose, inside
from framework.reporting.report import write_report
from framework.reporting.sources import gather
from framework.training.run import train
from tests.contract.support import build_phantom, tiny_run

LESION = 2
SIDE = 12
ALL = [
    "image",
    "CAM maps",
    "seeds seeds",
    "boundary map boundaries",
    "walk walk",
    "mask pseudo",
    "prediction segmenter",
    "truth",
]


def quadrant(row: int, column: int) -> np.ndarray:
    """A map that is 1 in one quadrant and 0 elsewhere."""
    values = np.zeros((SIDE, SIDE), np.float32)
    values[row * SIDE // 2 :, column * SIDE // 2 :][: SIDE // 2, : SIDE // 2] = 1
    return values


def write_maps(out: Store, corpus: Corpus, maps: dict[int, np.ndarray], inputs: dict[str, Input]) -> Store:
    """A finished layer of the same maps for every second image, and of none for the others."""
    names = [*corpus.ids("train"), *corpus.ids("val")]
    rows = [{"id": name, **encode_maps(maps if i % 2 == 0 else {})} for i, name in enumerate(names)]
    write_part(out, "rows", rows, MAP_ROW)
    recipe = ArtifactSpec(
        "map layer", {"corpus": Input(corpus.store.url, corpus.info.version)} | inputs, {"name": out.name}
    )
    finish(out, recipe, {"rows": len(names), "quarantined": 0}, 1.0)
    return out


def write_seeds(out: Store, corpus: Corpus, maps: Store) -> Store:
    """Seeds of all training images with a map: the lesion above, background below, nothing between."""

    def seeds(name: str) -> np.ndarray:
        mask = np.full((corpus.value(name, "height"), corpus.value(name, "width")), IGNORE, np.uint8)
        mask[: len(mask) // 3], mask[-(len(mask) // 3) :] = LESION, 0
        return mask

    mapped = MapLayer(maps, corpus).classes
    names = [name for name in corpus.ids("train") if mapped[name]]
    LayerWriter(out, names).write_masks("seed", seeds)
    inputs = {"corpus": Input(corpus.store.url, corpus.info.version), "maps": input_of(maps, "map layer")}
    finish(out, ArtifactSpec("layer", inputs, {}, "seeds"), {"rows": len(names), "quarantined": 0}, 1.0)
    return out


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return Corpus.open(build_phantom(tmp_path_factory.mktemp("way") / "corpus"))


@pytest.fixture(scope="module")
def root(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Maps above on the left, a walk below on the right, and all that is made from them."""
    folder = tmp_path_factory.mktemp("run")
    root, classifier = Store.at(folder), input_of(Store(f"{corpus.store.url}-classifier"), "model")
    maps = write_maps(root / "maps", corpus, {LESION: quadrant(0, 0)}, {"model": classifier})
    seeds = write_seeds(root / "seeds", corpus, maps)
    irnet = tiny_run(
        corpus.store.url, "irnet", folder, {"name": "boundaries", "corpus": {"layers": [seeds.url]}}
    )
    inputs = {"model": input_of(train(irnet), "model"), "maps": input_of(maps, "map layer")}
    walk = write_maps(root / "walk", corpus, {1: quadrant(0, 1), LESION: quadrant(1, 1)}, inputs)
    pseudo = make(Masks, Masks.Config(), corpus.store.url, (root / "pseudo").url, maps=walk.url)
    train(
        tiny_run(
            corpus.store.url, "supervised", folder, {"name": "segmenter", "corpus": {"layers": [pseudo.url]}}
        )
    )
    return root


def section(out: Path, *sources: Store) -> str:
    write_report(sources, out / "report.html")
    return (out / "report.html").read_text().split('id="gallery"')[1].split("</section>")[0]


def columns(shown: str) -> list[str]:
    """The heads of the first row."""
    head = shown.split('<div class="columns">')[1].split("</div>")[0]
    return [" ".join(re.sub("<[^>]+>", " ", span).split()) for span in head.split("</span>")[:-1]]


def panels(shown: str) -> list[list[np.ndarray]]:
    """The panels of every row, `[H, W, 3]` each."""
    sheets = [
        np.asarray(Image.open(io.BytesIO(b64decode(data)))) for data in re.findall("base64,([^\"']+)", shown)
    ]
    step = SMALLEST + GAP
    return [
        [sheet[:, left : left + SMALLEST, :3] for left in range(0, sheet.shape[1], step)] for sheet in sheets
    ]


def test_the_whole_way_is_one_row_an_image(root: Store, tmp_path: Path) -> None:
    shown = section(tmp_path, root)
    assert columns(shown) == ALL
    rows = panels(shown)
    assert len(rows) == 4 and {len(row) for row in rows} == {len(ALL)}
    assert shown.count("of the map lies inside the true mask") == 4
    assert "no step from the labels to the masks reads it" in html.unescape(" ".join(shown.split()))


def test_every_panel_shows_what_its_artifact_holds(root: Store, corpus: Corpus, tmp_path: Path) -> None:
    image, cam, seeds, boundary, walk, mask, _, truth = panels(section(tmp_path, root))[0]
    far, near = slice(10, 90), slice(150, 230)
    assert (cam[far, far] != image[far, far]).any(-1).mean() > 0.95 and (
        cam[near, near] == image[near, near]
    ).all()
    assert (walk[near, near] != image[near, near]).any(-1).mean() > 0.95 and (
        walk[near, far] == image[near, far]
    ).all()
    assert (seeds[180:] == image[180:]).all() and (seeds[100:140] == 255).all(-1).mean() == pytest.approx(
        0.25, abs=0.1
    )
    assert (boundary == boundary[..., :1]).all() and boundary.std() > 0
    assert (mask[near, near] != image[near, near]).any(-1).all() and (
        mask[near, far] == image[near, far]
    ).all()
    name = choose(corpus, MapLayer.open(corpus, (root / "maps").url).classes)[0]
    shown = {k for k in range(1, 5) if (truth == rgb(colour_of(k))).all(-1).any()}
    assert shown == set(np.unique(np.array(corpus.mask(name))).tolist()) - {0}


def test_the_share_of_a_map_inside_is_of_its_own_class(root: Store, corpus: Corpus) -> None:
    sample = corpus.read(choose(corpus, MapLayer.open(corpus, (root / "maps").url).classes)[0])
    truth = sample.planes(LESION + 1)[LESION - 1]
    rows, columns = np.indices(truth.shape)
    upper = (rows < truth.shape[0] / 2) & (columns < truth.shape[1] / 2)
    shown = inside(sample, MapLayer.open(corpus, (root / "maps").url))
    assert shown == pytest.approx((truth & upper).sum() / upper.sum(), abs=0.02)


def test_what_the_report_was_not_given_has_no_column(root: Store, corpus: Corpus, tmp_path: Path) -> None:
    classifier = Store(f"{corpus.store.url}-classifier")
    assert columns(section(tmp_path, classifier, root / "maps")) == ["image", "CAM maps", "truth"]
    assert columns(section(tmp_path, root / "segmenter", root / "walk", root / "pseudo")) == [
        "image",
        *ALL[4:],
    ]
    write_report([root / "segmenter", root / "pseudo"], tmp_path / "report.html")
    assert 'id="gallery"' not in (tmp_path / "report.html").read_text()


def test_images_are_spread_over_those_with_a_map_and_a_mask(root: Store, corpus: Corpus) -> None:
    mapped = MapLayer.open(corpus, (root / "maps").url).classes
    names = sorted(
        name for name in corpus.ids("train") if mapped[name] and corpus.value(name, "mask_kind") == "mask"
    )
    chosen = choose(corpus, mapped)
    assert chosen == choose(corpus, dict(reversed(mapped.items()))) == sorted(set(chosen))
    assert chosen[0] == names[0] and chosen[-1] == names[-1] and len(chosen) == 4
    assert choose(corpus, {corpus.ids("val")[0]: [LESION], names[0]: []}) == [corpus.ids("val")[0]]


def test_two_maps_are_two_ways(root: Store, corpus: Corpus, tmp_path: Path) -> None:
    other = write_maps(Store.at(tmp_path / "other"), corpus, {1: quadrant(0, 1)}, {})
    first = {artifact.name: beginning(artifact) for artifact in gather([root, other])}
    assert {first[name] for name in ("maps", "seeds", "boundaries", "walk", "pseudo", "segmenter")} == {
        (root / "maps").url
    }
    assert first["other"] == other.url
    assert section(tmp_path, root, other).count("<h3>") == 2


def test_a_corpus_that_is_gone_is_a_sentence(
    root: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def elsewhere(*about: object) -> list[str]:
        return [str(tmp_path / "nothing")]

    monkeypatch.setattr("framework.reporting.label_to_mask_gallery.addresses", elsewhere)
    shown = html.unescape(section(tmp_path, root))
    assert "maps: corpus 'corpus' is not at" in shown and "data:image" not in shown


def test_a_layer_beside_its_corpus_leads_to_it(corpus: Corpus, tmp_path: Path) -> None:
    maps = write_maps(corpus.store / "layers" / "alone", corpus, {1: quadrant(0, 1)}, {})
    assert columns(section(tmp_path, maps)) == ["image", "CAM alone", "truth"]
