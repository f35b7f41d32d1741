from __future__ import annotations

import io
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from rich.console import Console

from framework.core.errors import CorpusError
from framework.core.labels import IGNORE
from framework.core.storage import Store
from framework.corpus.label_layers import LAYER_ROW, Layer, layer_store
from framework.corpus.reader import Corpus
from framework.corpus.schema import LabelInfo
from framework.corpus.sources import phantom
from framework.corpus.writer import Source, pack
from framework.reporting.contact_sheet import CAPTION, GAP, TILE, contact_sheet, describe, tally


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def fundus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    source = Source(
        name="phantom",
        fingerprint="phantom",
        total=40,
        classes=phantom.CLASSES,
        encoding="bits",
        labels=phantom.LABELS,
        channels=3,
        rows=partial(phantom.rows, 40, 0, 64),
    )
    store = Store.at(str(tmp_path_factory.mktemp("corpus") / "phantom"))
    pack(source, store)
    return Corpus.open(store)


@pytest.fixture
def grey(tmp_path: Path) -> Corpus:
    """Two rows 8 x 12: a mask half of class 1 and a quarter ignored, and a row without any mask."""
    mask = np.zeros((8, 12), np.uint8)
    mask[:4], mask[6:] = 1, IGNORE
    common = {
        "split": "train",
        "image": png(np.full((8, 12), 90, np.uint8)),
        "source": "test",
        "volume": None,
        "slice": None,
    }
    masked = {"id": "a", "group": "p", "mask": png(mask), "mask_kind": "box", "labels": [0]}
    unmasked = {"id": "b", "group": "q", "mask": None, "mask_kind": None, "labels": [-1]}
    source = Source(
        name="grey",
        fingerprint="grey",
        total=2,
        classes=["background", "nucleus"],
        encoding="ids",
        labels=[LabelInfo(name="tumour", values=["no", "yes"])],
        channels=1,
        rows=lambda start: [{**common, **row} for row in (masked, unmasked)][start:],
    )
    store = Store.at(str(tmp_path / "grey"))
    pack(source, store)
    return Corpus.open(store)


def sheet(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)


def test_tally_counts_every_row_once(fundus: Corpus) -> None:
    numbers = tally(fundus)
    assert sum(numbers["images"].values()) == 40
    assert sum(numbers["groups"].values()) == 20
    assert numbers["mask: mask"] == numbers["images"]
    grades = [numbers[f"grade: {value}"] for value in phantom.LABELS[0].values]
    for split, images in numbers["images"].items():
        assert sum(grade.get(split, 0) for grade in grades) == images
        assert numbers["has_MA: yes"].get(split, 0) == images - grades[0].get(split, 0)
    assert "grade: unknown" not in numbers


def test_pixel_shares_are_those_of_the_bits(fundus: Corpus) -> None:
    names = fundus.ids("train")
    bits = np.stack([np.asarray(sample.bits) for sample in fundus.rows(names)])
    numbers = tally(fundus)
    for lesion, name in enumerate(fundus.info.classes[1:]):
        assert numbers[f"pixels: {name}"]["train"] == pytest.approx(((bits >> lesion) & 1).mean())
    assert numbers["pixels: background"]["train"] == pytest.approx((bits == 0).mean())


def test_missing_masks_unknown_labels_and_ignored_pixels(grey: Corpus) -> None:
    numbers = tally(grey)
    assert numbers["mask: box"] == numbers["mask: none"] == {"train": 1}
    assert numbers["tumour: unknown"] == numbers["tumour: no"] == {"train": 1}
    assert numbers["pixels: nucleus"] == {"train": pytest.approx(48 / 72)}
    assert numbers["pixels: ignored"] == {"train": pytest.approx(24 / 96)}


def test_the_table_names_every_class_and_split(fundus: Corpus) -> None:
    console = Console(file=io.StringIO(), width=200)
    console.print(describe(fundus))
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert all(name in text for name in (*fundus.info.classes, "train", "val", "test", "very severe"))


def test_a_contact_sheet_depends_on_its_seed_only(fundus: Corpus) -> None:
    assert contact_sheet(fundus, 12, seed=1) == contact_sheet(fundus, 12, seed=1)
    assert contact_sheet(fundus, 12, seed=1) != contact_sheet(fundus, 12, seed=2)


def test_a_contact_sheet_has_a_tile_for_each_image(fundus: Corpus, grey: Corpus) -> None:
    data = sheet(contact_sheet(fundus, count=7))
    assert data.shape[1] == 6 * (TILE + GAP) + GAP
    assert data.shape[0] > 2 * (TILE + CAPTION + GAP)
    assert sheet(contact_sheet(grey)).shape[1] == 2 * (TILE + GAP) + GAP


def test_a_contact_sheet_draws_the_masks_of_the_corpus_or_of_a_layer(fundus: Corpus) -> None:
    names = fundus.ids("test")[:3]
    empty = layer_of(fundus, "empty", {name: np.zeros((64, 64), np.uint8) for name in names})
    full = layer_of(fundus, "full", {name: np.full((64, 64), 2, np.uint8) for name in names})
    bare, filled = sheet(contact_sheet(fundus, layer=empty)), sheet(contact_sheet(fundus, layer=full))
    assert bare.shape == filled.shape
    changed = (bare != filled).any(axis=2)
    assert changed[GAP : GAP + TILE, GAP : GAP + TILE].mean() > 0.95
    assert not changed[GAP + TILE :].any()  # captions and legend


def layer_of(corpus: Corpus, name: str, masks: dict[str, np.ndarray]) -> Layer:
    """A finished layer of these masks."""
    store = layer_store(corpus.store, name)
    inputs = {"corpus": {"path": corpus.store.url, "hash": corpus.info.version}}
    record = {"kind": "layer", "hash": "h", "inputs": inputs, "counts": {"rows": len(masks)}}
    store.write_json("artifact.json", record)
    shared = {"kind": "pseudo", "confidence": 0.9, "kept": 0.5}
    rows = [{"id": image, "mask": png(mask)} | shared for image, mask in masks.items()]
    store.write_table("rows-00000.parquet", pa.Table.from_pylist(rows, schema=LAYER_ROW))
    return Layer.open(corpus, name)


def test_only_images_of_the_layer_are_shown(fundus: Corpus) -> None:
    mask = np.full((64, 64), IGNORE, np.uint8)
    mask[:32] = 3
    name = fundus.ids("train")[0]
    layer = layer_of(fundus, "round-1", {name: mask})
    assert list(layer.kinds) == [name] and np.array_equal(layer.mask(name, (64, 64)), mask)
    assert sheet(contact_sheet(fundus, layer=layer)).shape[1] == TILE + 2 * GAP


def test_nothing_to_show_is_an_error(fundus: Corpus) -> None:
    with pytest.raises(CorpusError, match="no image to show"):
        contact_sheet(fundus, layer=layer_of(fundus, "strange", {"stranger": np.zeros((64, 64), np.uint8)}))
