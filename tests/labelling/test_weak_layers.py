"""Label layers of weak masks: simulated over a corpus, or imported from a folder."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from framework.core.callbacks import OnProgress, silent
from framework.core.config_files import parse
from framework.core.errors import CheckpointError, ConfigError, CorpusError
from framework.core.labels import IGNORE
from framework.core.rng import generator
from framework.core.storage import Store
from framework.corpus.label_layers import Layer
from framework.corpus.reader import Corpus
from framework.corpus.schema import MASK_KINDS
from framework.corpus.sources.folder import folder_source
from framework.corpus.writer import pack
from framework.labelling.job import make
from framework.labelling.weak.config import Box, Outline, Polygon, Simulator
from framework.labelling.weak.import_masks import ImportMasks
from framework.labelling.weak.simulate import SimulateWeak
from framework.labelling.weak.simulators import weaken
from framework.loading.label_budget import BudgetConfig
from framework.loading.training_set import CorpusConfig, TrainingSet
from tests.corpus.test_real_sets import published
from tests.labelling.test_simulators import SIMULATORS


def small(folder: Path, out: Path) -> Corpus:
    pack(folder_source(Store.at(folder), "small", ["background", "a", "b"]), Store.at(out))
    return Corpus.open(str(out))


@pytest.fixture
def corpus(folder: Path, tmp_path: Path) -> Corpus:
    """Twelve images 24 x 20 with masks of two classes, eight of them for training."""
    return small(folder, tmp_path / "c")


def simulate(url: str, layer: str, simulator: Simulator, on_progress: OnProgress = silent) -> Store:
    return make(SimulateWeak, simulator, url, layer, on_progress)


def import_masks(folder: Path, url: str, layer: str, kind: str, **settings: float | str) -> Store:
    return make(
        ImportMasks, parse({"kind": kind, **settings}, ImportMasks.Config), url, layer, folder=str(folder)
    )


def masks_of(corpus: Corpus, name: str) -> dict[str, np.ndarray]:
    layer = Layer.open(corpus, name)
    return {image: layer.mask(image, (24, 20)) for image in layer.kinds}


@pytest.mark.parametrize("simulator", SIMULATORS, ids=lambda simulator: simulator.kind)
def test_a_layer_covers_every_training_image_and_training_uses_it_beyond_the_budget(
    simulator: Simulator, corpus: Corpus
) -> None:
    simulate(corpus.store.url, "weak", simulator)
    kind = "noisy" if simulator.kind in ("erode", "dilate") else simulator.kind
    assert kind in MASK_KINDS
    assert Layer.open(corpus, "weak").kinds == dict.fromkeys(corpus.ids("train"), kind)
    data = TrainingSet(
        CorpusConfig(path=corpus.store.url, size=24, layers=["weak"], budget=BudgetConfig(share=0.5))
    )
    assert (len(data.ids(frozenset({"mask"}))), len(data.ids(frozenset({kind})))) == (4, 4)
    wide = TrainingSet(CorpusConfig(path=corpus.store.url, size=24, layers=["weak"]))
    assert wide.ids(frozenset({kind})) == []


def test_a_label_depends_on_its_id_and_seed_and_not_on_its_neighbours(corpus: Corpus) -> None:
    for layer, seed in (("one", 7), ("again", 7), ("other", 8)):
        simulate(corpus.store.url, layer, Polygon(seed=seed))
    one, again, other = (masks_of(corpus, layer) for layer in ("one", "again", "other"))
    assert all(np.array_equal(one[name], again[name]) for name in one)
    assert any(not np.array_equal(one[name], other[name]) for name in one)
    truth = corpus.mask("case-05")
    assert truth is not None
    assert np.array_equal(one["case-05"], weaken(truth, Polygon(), generator("weaken", 7, "case-05")))
    assert len({one[name].tobytes() for name in one}) > 1, "equal masks get labels of their own"


def test_the_same_layer_is_recognised_and_another_under_its_name_refused(corpus: Corpus) -> None:
    out = simulate(corpus.store.url, "weak", Box())
    before = {name: Path(out.url, name).stat().st_mtime_ns for name in out.names()}
    assert simulate(corpus.store.url, "weak", Box()) == out
    assert {name: Path(out.url, name).stat().st_mtime_ns for name in out.names()} == before
    for described in (Box(jitter=0.2), Box(seed=1), Outline(kind="erode")):
        with pytest.raises(CheckpointError, match="holds a finished layer of another configuration or input"):
            simulate(corpus.store.url, "weak", described)


def test_an_interrupted_layer_is_continued_by_its_own_command_only(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    from framework.corpus import layer_writer as layer_parts

    monkeypatch.setattr(layer_parts, "PART", 3)
    out = simulate(corpus.store.url, "weak", Box())
    whole = masks_of(corpus, "weak")
    parts = [name for name in out.names() if name.startswith("rows-")]
    assert len(parts) == 3
    out.remove("artifact.json")
    out.remove(parts[0])
    with pytest.raises(CorpusError, match="a layer of another input or setting was begun here"):
        simulate(corpus.store.url, "weak", Box(seed=1))
    seen: list[tuple[int, int]] = []
    simulate(corpus.store.url, "weak", Box(), lambda done, total: seen.append((done, total)))
    assert seen[0][0] in (5, 6) and seen[-1] == (8, 8)
    again = masks_of(corpus, "weak")
    assert all(np.array_equal(again[name], whole[name]) for name in whole) and len(again) == 8


def test_overlapping_lesions_are_flattened_first(phantom_url: str, tmp_path: Path) -> None:
    corpus, layer = Corpus.open(phantom_url), str(tmp_path / "weak")
    simulate(phantom_url, layer, Outline(kind="dilate", radius=(0, 0)))
    opened = Layer.open(corpus, layer)
    for sample in corpus.rows(corpus.ids("train")):
        assert np.array_equal(opened.mask(sample.id, (48, 48)), sample.mask)  # type: ignore[arg-type]


def test_some_images_get_the_label_of_another(folder: Path, tmp_path: Path) -> None:
    for i, file in enumerate(sorted((folder / "masks").iterdir())):
        shape = (24, 20) if i else (48, 40)  # the first picture is twice as large
        mask = np.zeros(shape, np.uint8)
        mask[2 : shape[0] - 2, 2 : 5 + i] = 1
        Image.fromarray(mask).save(file)
        Image.fromarray(mask).save(folder / "images" / file.name)
    corpus = small(folder, tmp_path / "c")
    for layer, share, seed in (("half", 0.5, 0), ("again", 0.5, 0), ("other", 0.5, 1), ("all", 1.0, 0)):
        unchanged = Outline(kind="dilate", radius=(0, 0), seed=seed, mismatch_rate=share)
        simulate(corpus.store.url, layer, unchanged)
    rows = {sample.id: sample.mask for sample in corpus.rows(corpus.ids("train")) if sample.mask is not None}
    widths = {
        name: {image: _width(mask) for image, mask in labels_of(corpus, name, rows).items()}
        for name in ("half", "all", "other")
    }
    own = {image: _width(mask) for image, mask in rows.items()}
    wrong = {layer: [image for image in own if drawn[image] != own[image]] for layer, drawn in widths.items()}
    assert 2 <= len(wrong["half"]) < 8 and wrong["other"] != wrong["half"] and len(wrong["all"]) == 8
    for layer, images in wrong.items():
        assert sorted(widths[layer][image] for image in images) == pytest.approx(
            sorted(own[image] for image in images), abs=0.05
        )
    assert all(
        np.array_equal(a, b)
        for a, b in zip(
            labels_of(corpus, "half", rows).values(), labels_of(corpus, "again", rows).values(), strict=True
        )
    )


def labels_of(corpus: Corpus, name: str, rows: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    layer = Layer.open(corpus, name)
    return {image: layer.mask(image, mask.shape) for image, mask in rows.items()}


def _width(mask: np.ndarray) -> float:
    """Share of the picture's columns with a label."""
    return float(mask.any(0).mean())


def test_nothing_to_weaken_is_an_error(folder: Path, tmp_path: Path) -> None:
    for file in (folder / "masks").iterdir():
        if file.stem < "case-08":
            file.unlink()
    corpus = small(folder, tmp_path / "c")
    with pytest.raises(
        CorpusError, match="corpus 'small': no image of split 'train' has a pixel mask; nothing to weaken"
    ):
        simulate(corpus.store.url, "weak", Box())
    simulate(corpus.store.url, "weak", Box(split="val"))
    with pytest.raises(CorpusError, match="has no row in split 'tset'"):
        simulate(corpus.store.url, "other", Box(split="tset"))


def test_a_layer_of_another_corpus_is_refused(corpus: Corpus, phantom_url: str, tmp_path: Path) -> None:
    layer = str(tmp_path / "weak")
    simulate(corpus.store.url, layer, Box())
    with pytest.raises(CorpusError, match="was made for corpus version"):
        TrainingSet(CorpusConfig(path=phantom_url, size=32, layers=[layer]))
    with pytest.raises(CheckpointError, match="another configuration or input"):
        simulate(phantom_url, layer, Box())
    with pytest.raises(
        CorpusError,
        match="make one with `scantseg pseudolabel`, `scantseg simulate-weak` or `scantseg import-masks`",
    ):
        TrainingSet(CorpusConfig(path=phantom_url, size=32, layers=["weak"]))


@pytest.fixture
def drawn(tmp_path: Path) -> Path:
    """A folder of scribbles for the first three images, and one of an image that the corpus does not have."""
    root = tmp_path / "scribbles"
    root.mkdir()
    mask = np.full((24, 20), IGNORE, np.uint8)
    mask[6, 4:8], mask[0], mask[16, 11:14] = 1, 0, 2
    for name in ("case-00", "case-01", "case-02", "stranger"):
        Image.fromarray(mask).save(root / f"{name}.png")
    return root


def test_masks_of_a_folder_become_a_layer(corpus: Corpus, drawn: Path) -> None:
    out = import_masks(drawn, corpus.store.url, "drawn", "scribble")
    counts = out.read_json("artifact.json")["counts"]
    assert counts == {"rows": 3, "quarantined": 0, "without a file": 9, "files of no image": 1}
    assert Layer.open(corpus, "drawn").kinds == dict.fromkeys(["case-00", "case-01", "case-02"], "scribble")
    expected = np.asarray(Image.open(drawn / "case-01.png"))
    assert all(np.array_equal(mask, expected) for mask in masks_of(corpus, "drawn").values())
    assert import_masks(drawn, corpus.store.url, "drawn", "scribble") == out
    with pytest.raises(CheckpointError, match="another configuration or input"):
        import_masks(drawn, corpus.store.url, "drawn", "noisy")
    Image.fromarray(np.full((24, 20), IGNORE, np.uint8)).save(drawn / "case-02.png")
    with pytest.raises(CheckpointError, match="another configuration or input"):
        import_masks(drawn, corpus.store.url, "drawn", "scribble")


def test_files_that_are_not_read_are_counted(corpus: Corpus, drawn: Path, tmp_path: Path) -> None:
    (drawn / "case-02.png").rename(drawn / "case-02.gif")
    (drawn / "case-01.png").rename(tmp_path / "elsewhere.png")
    (drawn / "case-01.png").symlink_to(tmp_path / "elsewhere.png")
    out = import_masks(drawn, corpus.store.url, "drawn", "scribble")
    counts = out.read_json("artifact.json")["counts"]
    assert counts == {
        **{"rows": 1, "quarantined": 0, "without a file": 11},
        **{"files of no image": 1, "files that are not read": 2},
    }


def test_a_scribble_edited_in_place_is_another_input(corpus: Corpus, drawn: Path) -> None:
    edited, strokes = drawn / "case-03.bmp", np.asarray(Image.open(drawn / "case-01.png"))
    Image.fromarray(strokes).save(edited)
    import_masks(drawn, corpus.store.url, "drawn", "scribble")
    size = edited.stat().st_size
    Image.fromarray(strokes[::-1].copy()).save(edited)
    assert edited.stat().st_size == size
    with pytest.raises(CheckpointError, match="another configuration or input"):
        import_masks(drawn, corpus.store.url, "drawn", "scribble")


BAD_MASKS = {
    "wrong size": (np.full((20, 24), IGNORE, np.uint8), "mask is 24 x 20 but its image is 20 x 24"),
    "unknown class": (np.full((24, 20), 3, np.uint8), r"mask has unknown class ids \[3\]: 0..2 are known"),
    "colours": (np.full((24, 20, 3), (9, 0, 0), np.uint8), "mask is in colour: needs one channel of"),
    "nothing left open": (
        np.zeros((24, 20), np.uint8),
        "scribble claims every pixel: save what is not drawn as 255",
    ),
}


@pytest.mark.parametrize("fault", BAD_MASKS)
def test_a_bad_mask_is_in_quarantine_as_the_budget_says(fault: str, corpus: Corpus, drawn: Path) -> None:
    pixels, reason = BAD_MASKS[fault]
    Image.fromarray(pixels).save(drawn / "case-01.png")
    with pytest.raises(
        CorpusError,
        match=rf"1 row cannot be used, over the error budget of 5.0% of 3 \(first: 'case-01': {reason}",
    ):
        import_masks(drawn, corpus.store.url, "drawn", "scribble")
    with pytest.raises(CorpusError, match="is not there or not finished"):
        Layer.open(corpus, "drawn")
    out = import_masks(drawn, corpus.store.url, "drawn", "scribble", error_budget=0.5)
    assert [row["id"] for row in out.read_table("quarantine.parquet").to_pylist()] == ["case-01"]
    counts = out.read_json("artifact.json")["counts"]
    assert (counts["rows"], counts["quarantined"]) == (2, 1)
    assert set(Layer.open(corpus, "drawn").kinds) == {"case-00", "case-02"}


def test_a_folder_or_kind_that_cannot_be_a_layer(corpus: Corpus, drawn: Path, tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match="key 'kind' is 'scrible': input should be 'box', 'polygon', 'scribble' or"
    ):
        import_masks(drawn, corpus.store.url, "drawn", "scrible")
    with pytest.raises(
        CorpusError,
        match=r"no picture of an image of corpus 'small'; expected ID\.png, such as 'case-00\.png'",
    ):
        import_masks(tmp_path / "nowhere", corpus.store.url, "drawn", "scribble")


def test_real_scribbles_of_acdc(tmp_path: Path, write_rows) -> None:  # type: ignore[no-untyped-def]
    original = published("acdc")
    if not (original / "scribbles").exists():
        pytest.skip(f"{original} has no scribbles/: an older copy of the published set")
    names = sorted(path.stem for path in (original / "scribbles").iterdir())[:20]
    for kind in ("images", "masks"):
        (tmp_path / "acdc" / kind).mkdir(parents=True)
        for file in (original / kind).iterdir():
            if file.stem in names:
                shutil.copy(file, tmp_path / "acdc" / kind)
    write_rows(tmp_path / "acdc" / "labels.csv", [{"id": name, "split": "train"} for name in names])
    pack(
        folder_source(Store.at(tmp_path / "acdc"), "acdc", ["background", "RV", "myo", "LV"]),
        Store.at(tmp_path / "c"),
    )
    import_masks(original / "scribbles", str(tmp_path / "c"), "real", "scribble")
    corpus = Corpus.open(str(tmp_path / "c"))
    layer = Layer.open(corpus, "real")
    assert set(layer.kinds) == set(names)
    for sample in corpus.rows(names):
        assert sample.mask is not None
        mask = layer.mask(sample.id, sample.mask.shape)
        claimed = mask != IGNORE
        assert 0 < claimed.mean() < 0.1
        assert (mask == sample.mask)[claimed].mean() > 0.9


def test_drawn_masks_of_other_values_are_refused_and_then_converted(corpus: Corpus, tmp_path: Path) -> None:
    drawn = tmp_path / "drawn"
    drawn.mkdir()
    for name in corpus.ids("train"):
        mask = corpus.mask(name)
        assert mask is not None
        levels = np.array([10, 20, 30], np.uint8)[mask]
        levels[:, 10:] = IGNORE
        Image.fromarray(levels).save(drawn / f"{name}.png")
    advice = r"hold values 10, 20, 255 .*, but class ids are 0..2; give --mask-values 10,20,255"
    with pytest.raises(CorpusError, match=advice):
        import_masks(drawn, corpus.store.url, "drawn", "scribble")
    import_masks(drawn, corpus.store.url, "drawn", "scribble", mask_values="10,20")
    assert all(set(np.unique(mask)) == {0, 1, IGNORE} for mask in masks_of(corpus, "drawn").values())
