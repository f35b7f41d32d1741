from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framework.core.errors import CorpusError
from framework.core.storage import Store
from framework.corpus.reader import Corpus
from framework.corpus.schema import LabelInfo
from framework.corpus.writer import Source, pack
from framework.loading.label_budget import BudgetConfig, labelled_ids

Encode = Callable[[np.ndarray], bytes]
PATHOLOGIES = ["DCM", "HCM", "MINF", "NOR", "RV"]
shares = st.floats(0.02, 1)


@pytest.fixture(scope="module")
def heart(tmp_path_factory: pytest.TempPathFactory, png: Encode) -> Corpus:
    """100 patients of 3 slices, 20 of each pathology of which 14 train; `visible` differs from slice to
    slice."""
    pixel = png(np.ones((1, 1), np.uint8))

    def rows(start: int) -> Iterator[dict[str, Any]]:
        for i in range(start, 300):
            patient = i // 3
            yield {
                "id": f"patient{patient:03d}-{i % 3}",
                "group": f"patient{patient:03d}",
                "split": "train" if patient % 20 < 14 else "val" if patient % 20 < 16 else "test",
                "image": pixel,
                "volume": f"patient{patient:03d}",
                "slice": i % 3,
                "mask": None if i % 3 == 2 and patient % 20 == 0 else pixel,
                "mask_kind": "scribble" if patient % 20 == 1 else "mask",
                "labels": [i % 2, patient // 20],
                "source": "test",
            }

    labels = [
        LabelInfo(name="visible", values=["no", "yes"]),
        LabelInfo(name="pathology", values=PATHOLOGIES),
    ]
    source = Source("heart", "heart", 300, ["background", "a"], "ids", labels, 1, rows)
    store = Store.at(tmp_path_factory.mktemp("heart") / "heart")
    pack(source, store)
    return Corpus.open(store)


def groups_of(corpus: Corpus, budget: BudgetConfig) -> set[str]:
    return {corpus.value(name, "group") for name in labelled_ids(corpus, budget)}


def with_masks(corpus: Corpus) -> list[str]:
    light = corpus.index_columns
    return [
        n
        for n, s, kind in zip(light["id"], light["split"], light["mask_kind"], strict=True)
        if s == "train" and kind == "mask"
    ]


def test_a_whole_budget_is_every_training_image_with_a_mask(heart: Corpus) -> None:
    assert labelled_ids(heart, BudgetConfig()) == with_masks(heart)


@settings(deadline=None)
@given(share=shares, seed=st.integers(0, 99))
def test_groups_are_kept_whole_and_in_stored_order(heart: Corpus, share: float, seed: int) -> None:
    labelled = labelled_ids(heart, BudgetConfig(share=share, seed=seed))
    groups = {heart.value(name, "group") for name in labelled}
    assert labelled == [name for name in with_masks(heart) if heart.value(name, "group") in groups]
    assert len(groups) == round(share * 65)
    assert labelled == labelled_ids(heart, BudgetConfig(share=share, seed=seed))


@settings(deadline=None)
@given(share=shares, seed=st.integers(0, 99))
def test_every_pathology_has_its_part(heart: Corpus, share: float, seed: int) -> None:
    """Stratified by the label that is one value a patient, although another comes first."""
    count = Counter(int(name[7:10]) // 20 for name in groups_of(heart, BudgetConfig(share=share, seed=seed)))
    counts = [count[value] for value in range(5)]
    assert max(counts) - min(counts) <= 1
    assert all(abs(count - 13 * share) <= 1 for count in counts)


@settings(deadline=None)
@given(one=shares, other=shares, seed=st.integers(0, 99))
def test_a_smaller_budget_lies_within_a_larger_one(
    heart: Corpus, one: float, other: float, seed: int
) -> None:
    small, large = (groups_of(heart, BudgetConfig(share=share, seed=seed)) for share in sorted((one, other)))
    assert small <= large


def test_another_seed_chooses_others(heart: Corpus) -> None:
    assert len({frozenset(groups_of(heart, BudgetConfig(share=0.2, seed=seed))) for seed in range(5)}) == 5


def test_strata_can_be_chosen(heart: Corpus) -> None:
    labelled = labelled_ids(heart, BudgetConfig(share=0.5, stratify="visible"))
    assert len({name[:10] for name in labelled}) == 32
    with pytest.raises(CorpusError, match="no image label 'pathologie'; it has: visible, pathology"):
        labelled_ids(heart, BudgetConfig(share=0.5, stratify="pathologie"))


def test_a_budget_that_leaves_nothing_is_an_error(heart: Corpus) -> None:
    with pytest.raises(
        CorpusError, match=r"label budget: 0.5% of the 65 training groups .* raise corpus.budget.share"
    ):
        labelled_ids(heart, BudgetConfig(share=0.005))


def test_patients_of_the_phantom_keep_both_eyes(phantom_url: str) -> None:
    corpus = Corpus.open(phantom_url)
    kept = labelled_ids(corpus, BudgetConfig(share=0.3))
    assert set(Counter(corpus.value(name, "group") for name in kept).values()) == {2}


def test_a_corpus_without_masks_says_so(tmp_path: Path, png: Encode) -> None:
    row = {
        "id": "a",
        "group": "a",
        "split": "train",
        "image": png(np.zeros((4, 4), np.uint8)),
        "mask": None,
        "mask_kind": "none",
    }
    row |= {"volume": None, "slice": None, "labels": [], "source": "test"}
    store = Store.at(tmp_path / "bare")
    pack(
        Source("bare", "bare", 1, ["background", "a"], "ids", [], 1, lambda start: iter([row][start:])), store
    )
    with pytest.raises(CorpusError, match="no training image of corpus 'bare' has a mask; add some"):
        labelled_ids(Corpus.open(store), BudgetConfig())
