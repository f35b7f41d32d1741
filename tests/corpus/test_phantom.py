from __future__ import annotations

import hashlib
import io
import tracemalloc
from collections import Counter
from itertools import islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from framework.corpus.schema import ROW
from framework.corpus.sources.phantom import (
    CLASSES,
    LABELS,
    LESIONS,
    MANY,
    PLANS,
    Phantom,
    draw,
    grade_of,
    rows,
    split_of,
)

GOLDEN = {
    (0, 2, 64): "1d2ce7bbba0e93a843a305b0e3a35e549e193348f2197759ddaa3ce49cf54254",
    (0, 85, 128): "b7cc67b3363ee1939c73a35421cd1621dc8da89166c1cb946e2164a4d8d0c8a6",
    (7, 101, 128): "89ac1bd2548f4ec3890348b5e8a62a2219c4be795d6f0e43cead13ea05c26451",
}


@pytest.fixture(scope="module")
def phantoms() -> list[Phantom]:
    return [draw(3, index, 96) for index in range(50)]


def same(one: Phantom, other: Phantom) -> bool:
    return np.array_equal(one.image, other.image) and np.array_equal(one.bits, other.bits)


@pytest.mark.parametrize("key", GOLDEN)
def test_the_pixels_are_those_of_every_other_machine(key: tuple[int, int, int]) -> None:
    phantom = draw(*key)
    assert hashlib.sha256(phantom.image.tobytes() + phantom.bits.tobytes()).hexdigest() == GOLDEN[key]


def test_an_image_does_not_depend_on_what_was_drawn_before(phantoms: list[Phantom]) -> None:
    assert same(draw(3, 41, 96), phantoms[41])
    assert not same(draw(4, 41, 96), phantoms[41])
    [row] = rows(1, seed=3, size=96, start=41)
    assert row["id"] == "phantom-000041"
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(row["image"]))), phantoms[41].image)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(row["mask"]))), phantoms[41].bits)


@pytest.mark.parametrize("size", [33, 64, 129])
def test_any_size_draws_the_same_scene(size: int, phantoms: list[Phantom]) -> None:
    for index in range(8):
        phantom = draw(3, index, size)
        assert phantom.image.shape == (size, size, 3)
        assert phantom.bits.shape == (size, size)
        assert phantom.image.dtype == phantom.bits.dtype == np.uint8
        assert phantom.labels == phantoms[index].labels


def test_labels_agree_with_counts_and_bits(phantoms: list[Phantom]) -> None:
    for phantom in phantoms:
        grade, *present = phantom.labels
        assert grade == phantom.grade == grade_of(phantom.counts)
        assert present == [int(count > 0) for count in phantom.counts]
        assert all(
            phantom.counts[kind] >= bool(((phantom.bits >> kind) & 1).any()) for kind in range(len(LESIONS))
        )
    assert len(LABELS) == len(phantoms[0].labels)
    assert len(CLASSES) == len(LESIONS) + 1


@pytest.mark.parametrize("grade", range(5))
def test_every_plan_leads_to_its_grade(grade: int) -> None:
    for plan in PLANS[grade]:
        assert grade_of(tuple(low for low, _ in plan)) == grade
        assert grade_of(tuple(high for _, high in plan)) == grade


@given(st.tuples(*[st.integers(0, 2 * MANY)] * 4), st.integers(0, 3))
def test_another_lesion_never_lowers_the_grade(counts: tuple[int, ...], kind: int) -> None:
    more = tuple(count + (place == kind) for place, count in enumerate(counts))
    assert grade_of(counts) <= grade_of(more)
    assert (grade_of(counts) == 0) == (not any(counts))


def test_fifty_images_show_every_grade_and_lesion_and_some_overlap(phantoms: list[Phantom]) -> None:
    assert {phantom.grade for phantom in phantoms} == set(range(5))
    for kind in range(len(LESIONS)):
        assert any(((phantom.bits >> kind) & 1).any() for phantom in phantoms)
    assert any((phantom.bits & (phantom.bits - (phantom.bits > 0))).any() for phantom in phantoms)
    assert np.mean([phantom.grade > 0 for phantom in phantoms]) >= 0.65


def test_lesions_look_like_what_they_are(phantoms: list[Phantom]) -> None:
    """Against the median of the fundus, haemorrhages and dots are dark in green, exudates are bright."""
    for kind, sign in enumerate((-1, -1, 1, 1)):
        contrast = []
        for phantom in phantoms:
            green = phantom.image[..., 1].astype(float)
            chosen = phantom.bits == 1 << kind
            if chosen.any():
                contrast.append(green[chosen].mean() - np.median(green[phantom.image[..., 0] > 20]))
        assert sign * np.mean(contrast) > 15, LESIONS[kind]


def test_both_eyes_of_a_patient_are_alike_and_mirrored(phantoms: list[Phantom]) -> None:
    for right, left in zip(phantoms[0::2], phantoms[1::2], strict=True):
        assert right.patient == left.patient
        assert (right.eye, left.eye) == ("right", "left")
        assert abs(right.grade - left.grade) <= 2
    grey = np.mean([phantom.image[:, :, 1] for phantom in phantoms[0::2]], axis=0)
    assert (
        grey[38:58, 70:86].mean() > grey[38:58, 10:26].mean()
    )  # the optic disc of right eyes is on the right


def test_rows_fulfil_the_corpus_contract() -> None:
    for row in rows(6, seed=1, size=64):
        assert list(row) == ROW.names
        assert (row["mask_kind"], row["source"]) == ("mask", "phantom:1")
        assert Image.open(io.BytesIO(row["mask"])).mode == "L"


def test_a_patient_is_never_split() -> None:
    splits = {}
    for row in rows(40, seed=2, size=33):
        assert splits.setdefault(row["group"], row["split"]) == row["split"]
    assert len(splits) == 20


def test_about_seventy_percent_of_the_patients_train() -> None:
    shares = Counter(split_of(0, f"patient-{number:06d}") for number in range(4000))
    assert shares["train"] / 4000 == pytest.approx(0.7, abs=0.03)
    assert shares["val"] / 4000 == pytest.approx(0.1, abs=0.02)
    assert shares["test"] / 4000 == pytest.approx(0.2, abs=0.02)


def test_rows_are_drawn_when_they_are_asked_for() -> None:
    assert len(list(islice(rows(10**9, seed=0, size=64), 2))) == 2


def test_memory_does_not_grow_with_the_number_of_rows() -> None:
    def peak(images: int) -> int:
        tracemalloc.start()
        for _ in rows(images, seed=0, size=40):
            pass
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(2)
    assert peak(60) < 1.2 * peak(15)
