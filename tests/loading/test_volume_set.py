from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from framework.core.errors import CorpusError
from framework.core.labels import IGNORE
from framework.corpus.reader import Corpus
from framework.corpus.schema import NO_MASK, LabelInfo
from framework.loading.label_budget import BudgetConfig
from framework.loading.training_set import CorpusConfig
from framework.loading.volume_set import VolumeSet
from tests.contract.volumes import build_volumes, volume


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    return build_volumes(tmp_path_factory.mktemp("volumes") / "corpus")


def volume_set(url: str, share: float = 0.5, layers: list[str] | None = None) -> VolumeSet:
    config = CorpusConfig(
        path=url, size=32, patch=[4, 16, 16], budget=BudgetConfig(share=share), layers=layers or []
    )
    return VolumeSet(config)


def test_a_volume_is_its_slices_in_order(url: str) -> None:
    prepared = volume_set(url, share=1).get("p03-1")
    grey, mask = volume("p03-1", depth=3)
    assert np.array_equal(prepared.image[0], grey)
    assert prepared.mask is not None and np.array_equal(prepared.mask, mask)
    assert prepared.level.shape == (2, 1, 1, 1, 1)
    assert prepared.level.flatten().tolist() == pytest.approx([grey.mean(), grey.std()], rel=1e-5)


def test_the_budget_labels_whole_patients(url: str) -> None:
    data = volume_set(url)
    labelled, unlabelled = data.ids(frozenset({"mask"})), data.ids(frozenset({NO_MASK}))
    assert (len(labelled), len(unlabelled)) == (10, 10)
    assert not {name[:3] for name in labelled} & {name[:3] for name in unlabelled}
    assert data.get(unlabelled[0]).mask is None and data.get(labelled[0]).mask is not None


def test_validation_volumes_have_their_masks(url: str) -> None:
    stack = volume_set(url).get("p11-0").mask
    assert stack is not None and stack.max() == 2


def test_a_layer_labels_slice_by_slice_and_other_kinds_are_ignored(
    url: str, write_layer: Callable[..., str], tmp_path: Path
) -> None:
    hidden = volume_set(url).ids(frozenset({NO_MASK}))
    pseudo = np.full((32, 32), 2, np.uint8)
    layer = write_layer(tmp_path / "layer", url, {f"{hidden[0]}-0": pseudo, f"{hidden[0]}-2": pseudo})
    data = volume_set(url, layers=[layer])
    assert data.ids(frozenset({"pseudo"})) == [hidden[0]]
    mask = data.get(hidden[0]).mask
    assert mask is not None and mask.shape[0] >= 3
    assert [np.unique(part).tolist() for part in mask[:3]] == [[2], [IGNORE], [2]]


def test_slices_are_sorted_by_their_number_and_not_by_their_place(url: str) -> None:
    corpus = Corpus.open(url)
    corpus.index_columns["slice"] = [-number for number in corpus.index_columns["slice"]]
    assert corpus.volumes("train")["p03-1"] == ["p03-1-2", "p03-1-1", "p03-1-0"]
    assert corpus.volumes("test") == {}


def test_a_corpus_without_volumes_says_what_makes_them(phantom_url: str) -> None:
    with pytest.raises(
        CorpusError,
        match=r"is of no volume, and corpus.patch asks for volumes; build the corpus with 'slice'",
    ):
        VolumeSet(CorpusConfig(path=phantom_url, size=32, patch=[4, 16, 16]))


def test_a_volume_has_the_graver_grade_of_its_slices(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = volume_set(url)
    grades = {name: [i] for i, name in enumerate(data.volumes["p03-1"])} | {
        name: [-1] for name in data.volumes["p04-0"]
    }
    monkeypatch.setattr(data.corpus, "value", lambda name, column: grades[name])
    monkeypatch.setattr(
        data.corpus.info, "labels", [LabelInfo(name="grade", values=["none", "some", "much"])]
    )
    assert data.labels(["p03-1", "p04-0"]).tolist() == [[2], [-1]]
