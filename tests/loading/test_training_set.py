from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from framework.core.errors import CorpusError
from framework.core.storage import Store
from framework.corpus.reader import Corpus
from framework.corpus.schema import NO_MASK
from framework.corpus.sources.folder import folder_source
from framework.corpus.writer import pack
from framework.imaging.resize import resize_image, resize_mask
from framework.labelling.job import make
from framework.labelling.weak.import_masks import ImportMasks
from framework.loading.label_budget import BudgetConfig
from framework.loading.training_set import CorpusConfig, TrainingSet, require

WriteLayer = Callable[..., str]
MASK, PSEUDO, NONE = frozenset({"mask"}), frozenset({"pseudo"}), frozenset({NO_MASK})


def flat(value: int) -> np.ndarray:
    return np.full((48, 48), value, np.uint8)


def test_samples_come_at_training_size(phantom_url: str) -> None:
    data, corpus = TrainingSet(CorpusConfig(path=phantom_url, size=32)), Corpus.open(phantom_url)
    name = data.train[0]
    prepared, sample = data.get(name), corpus.read(name)
    assert sample.mask is not None and prepared.mask is not None
    assert (prepared.image.shape, prepared.image.dtype) == ((3, 32, 32), np.uint8)
    assert np.array_equal(prepared.image, resize_image(sample.image, 32))
    assert np.array_equal(prepared.mask, resize_mask(sample.mask, 32, 32))


def test_at_its_own_size_nothing_is_changed(phantom_url: str) -> None:
    sample = Corpus.open(phantom_url).read("phantom-000001")
    assert sample.mask is not None
    assert np.array_equal(resize_image(sample.image, 48), sample.image.transpose(2, 0, 1))
    assert np.array_equal(resize_mask(sample.mask, 48, 48), sample.mask)


def test_sixteen_bits_are_not_cut_to_eight() -> None:
    deep = np.linspace(0, 60000, 64 * 64).reshape(64, 64, 1).astype(np.uint16)
    small = resize_image(deep, 32)
    assert small.dtype == np.float32
    assert len(np.unique(small)) > 256
    assert small.mean() == pytest.approx(deep.mean(), rel=0.01)


def test_classes_that_no_mask_in_use_holds_are_known(folder: Path, tmp_path: Path) -> None:
    for name in ("case-00", "case-01"):
        Image.fromarray(np.zeros((24, 20), np.uint8)).save(folder / f"masks/{name}.png")
    for number in range(2, 8):
        (folder / f"masks/case-{number:02d}.png").unlink()
    url = str(tmp_path / "c")
    corpus = pack(folder_source(Store.at(folder), "c", ["background", "a", "b"]), Store.at(url))
    assert "no mask of split 'train' holds 'a', 'b'" in corpus.notes
    assert TrainingSet(CorpusConfig(path=url, size=24)).untaught(MASK) == ["a", "b"]
    drawn = tmp_path / "drawn"
    drawn.mkdir()
    mask = np.zeros((24, 20), np.uint8)
    mask[3] = 2
    Image.fromarray(mask).save(drawn / "case-05.png")
    settings = ImportMasks.Config(kind="noisy")
    make(ImportMasks, settings, url, "drawn", folder=str(drawn))
    data = TrainingSet(CorpusConfig(path=url, size=24, layers=["drawn"]))
    assert data.untaught(MASK | {"noisy"}) == ["a"]
    assert data.untaught(MASK) == ["a", "b"]


def test_masks_out_of_the_budget_are_not_seen(phantom_url: str) -> None:
    data = TrainingSet(CorpusConfig(path=phantom_url, size=32, budget=BudgetConfig(share=0.3)))
    labelled, unlabelled = data.ids(MASK), data.ids(NONE)
    assert sorted([*labelled, *unlabelled]) == sorted(data.train)
    assert len(labelled) < len(unlabelled)
    assert all(data.get(name).mask is None for name in unlabelled)
    assert all(data.get(name).mask is not None for name in labelled)


def test_the_masks_of_other_splits_are_there_for_measuring(phantom_url: str) -> None:
    data = TrainingSet(CorpusConfig(path=phantom_url, size=32, budget=BudgetConfig(share=0.3)))
    assert data.get(data.corpus.ids("val")[0]).mask is not None


def test_layers_fill_in_what_has_no_mask_and_the_first_wins(
    phantom_url: str, tmp_path: Path, write_layer: WriteLayer
) -> None:
    budget = BudgetConfig(share=0.3)
    bare = TrainingSet(CorpusConfig(path=phantom_url, size=32, budget=budget))
    a, b, c = bare.ids(NONE)[:3]
    kept, outside = bare.ids(MASK)[0], bare.corpus.ids("test")[0]
    one = write_layer(
        tmp_path / "one", phantom_url, {a: flat(1), b: flat(1), kept: flat(1), outside: flat(1)}
    )
    two = write_layer(tmp_path / "two", phantom_url, {b: flat(2), c: flat(2)}, "box")
    data = TrainingSet(CorpusConfig(path=phantom_url, size=32, budget=budget, layers=[one, two]))
    assert data.ids(PSEUDO) == [a, b]
    assert data.ids(frozenset({"box"})) == [c]
    assert data.ids(MASK) == bare.ids(MASK)
    assert [int(data.get(name).mask.max()) for name in (a, b, c)] == [1, 1, 2]  # type: ignore[union-attr]
    assert np.array_equal(data.get(kept).mask, bare.get(kept).mask)  # type: ignore[arg-type]
    assert outside not in data.kinds


def test_the_cache_is_bounded_and_safe_for_threads(phantom_url: str) -> None:
    data = TrainingSet(CorpusConfig(path=phantom_url, size=32, cache_mb=10 * 4 * 32 * 32 / 2**20))
    whole = TrainingSet(CorpusConfig(path=phantom_url, size=32))
    with ThreadPoolExecutor(4) as pool:
        loaded = list(pool.map(data.get, data.train * 3))
    assert all(
        np.array_equal(one.image, whole.get(name).image)
        for one, name in zip(loaded, data.train * 3, strict=True)
    )
    assert 0 < len(data._cache) <= 10
    assert data._cached_bytes == sum(prepared.bytes for prepared in data._cache.values())
    assert data.get(data.train[0]) is data.get(data.train[0])


def test_a_stream_that_nothing_feeds_is_explained() -> None:
    assert require(["a"], "coda", "unlabelled", "…") == ["a"]
    with pytest.raises(
        CorpusError, match="method 'coda' needs unlabelled training images and there is none; lower it"
    ):
        require([], "coda", "unlabelled", "lower it")


def test_shuffled_labels_are_those_of_other_training_images_and_the_rest_keep_theirs(
    phantom_url: str,
) -> None:
    plain, mixed = (
        TrainingSet(CorpusConfig(path=phantom_url, size=32, shuffle_labels=shuffle))
        for shuffle in (False, True)
    )
    before, after = plain.labels(plain.train), mixed.labels(plain.train)
    assert sorted(before.tolist()) == sorted(after.tolist()) and not torch.equal(before, after)
    held_out = plain.corpus.ids("val")
    assert torch.equal(plain.labels(held_out), mixed.labels(held_out))


def test_each_seed_shuffles_the_labels_in_its_own_way_and_always_so(phantom_url: str) -> None:
    config = CorpusConfig(path=phantom_url, size=32, shuffle_labels=True)
    names = TrainingSet(config).train
    one, again, two = (TrainingSet(config, seed=seed).labels(names) for seed in (1, 1, 2))
    assert torch.equal(one, again) and not torch.equal(one, two)
    assert sorted(one.tolist()) == sorted(two.tolist())  # so each value of each label is as frequent
