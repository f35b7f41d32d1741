"""Weak masks: what a simulator may claim."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from framework.core.labels import IGNORE
from framework.core.rng import generator
from framework.labelling.weak.config import Box, Outline, Polygon, Scribble, Simulator
from framework.labelling.weak.simulators import ALL_EIGHT, boxes, contour, polygons, strokes, weaken

SIMULATORS: list[Simulator] = [Box(), Polygon(), Scribble(), Outline(kind="erode"), Outline(kind="dilate")]
SHAPES = st.tuples(st.integers(1, 14), st.integers(1, 14))
MASKS = arrays(np.uint8, SHAPES, elements=st.sampled_from([0, 0, 0, 1, 2, IGNORE]))
REGIONS = arrays(np.bool_, SHAPES)
CHECKED = settings(max_examples=60, deadline=None)


def components(inside: np.ndarray) -> list[np.ndarray]:
    numbered = np.asarray(ndimage.label(inside, ALL_EIGHT)[0])  # type: ignore[index]
    return [numbered == number for number in range(1, numbered.max() + 1)]


def disc(size: int, radius: float) -> np.ndarray:
    rows, columns = np.indices((size, size)) - (size - 1) / 2
    return rows**2 + columns**2 <= radius**2


@pytest.mark.parametrize("simulator", SIMULATORS, ids=lambda simulator: simulator.kind)
@given(mask=MASKS, seed=st.integers(0, 3))
@CHECKED
def test_what_is_drawn_is_a_mask_of_the_same_classes_and_depends_on_the_seed_alone(
    simulator: Simulator, mask: np.ndarray, seed: int
) -> None:
    drawn = weaken(mask, simulator, generator(seed, "a"))
    assert drawn.dtype == np.uint8 and drawn.shape == mask.shape
    assert (drawn[mask == IGNORE] == IGNORE).all()
    assert set(np.unique(drawn)) <= {*np.unique(mask), 0, IGNORE}
    assert np.array_equal(drawn, weaken(mask, simulator, generator(seed, "a")))
    if simulator.kind != "scribble":
        assert ((drawn == IGNORE) == (mask == IGNORE)).all()


@given(mask=MASKS)
@CHECKED
def test_boxes_without_jitter_cover_their_classes_and_later_ones_lie_above(mask: np.ndarray) -> None:
    drawn = weaken(mask, Box(jitter=0), generator(0))
    for class_id in (1, 2):
        assert (drawn[mask == class_id] >= class_id).all()


@given(inside=REGIONS, seed=st.integers(0, 9))
@CHECKED
def test_every_box_and_polygon_is_at_least_a_pixel(inside: np.ndarray, seed: int) -> None:
    for component in components(inside):
        assert boxes(component, 0.5, generator(seed)).any()
        assert polygons(component, (6, 10), generator(seed)).any()


@given(st.integers(0, 200))
@CHECKED
def test_edges_of_a_box_move_by_a_tenth_at_most(seed: int) -> None:
    inside = np.zeros((100, 100), bool)
    inside[20:60, 30:90] = True
    [(rows, columns)] = ndimage.find_objects(boxes(inside, 0.1, generator(seed)).astype(int))
    assert max(abs(rows.start - 20), abs(rows.stop - 60)) <= 4
    assert max(abs(columns.start - 30), abs(columns.stop - 90)) <= 6


def test_a_box_without_jitter_is_the_bounding_box() -> None:
    expected = np.zeros((12, 12), bool)
    expected[2:10, 2:10] = True
    assert np.array_equal(boxes(disc(12, 4.1), 0, generator(0)), expected)


@given(inside=REGIONS)
@CHECKED
def test_a_contour_is_an_unbroken_walk_along_the_outer_border(inside: np.ndarray) -> None:
    for component in components(inside):
        border = contour(component)
        filled = np.asarray(ndimage.binary_fill_holes(component), np.bool_)
        rim = filled > np.asarray(ndimage.binary_erosion(filled))
        assert {tuple(pixel) for pixel in border} == {tuple(pixel) for pixel in np.argwhere(rim)}
        assert np.abs(np.diff(border, axis=0, append=border[:1])).max() <= 1


@given(radius=st.floats(6, 25), points=st.integers(6, 10), seed=st.integers(0, 99))
@CHECKED
def test_a_polygon_of_a_disc_lies_inside_and_fills_most_of_it(radius: float, points: int, seed: int) -> None:
    inside = disc(56, radius)
    drawn = polygons(inside, (points, points), generator(seed))
    assert (drawn & ~inside).sum() <= 0.02 * inside.sum()
    assert (drawn & inside).sum() >= 0.7 * inside.sum()  # of a hexagon 0.83, less what whole pixels cost


@given(inside=REGIONS, width=st.integers(1, 4), seed=st.integers(0, 9))
@CHECKED
def test_strokes_lie_inside_and_are_connected_in_every_component(
    inside: np.ndarray, width: int, seed: int
) -> None:
    drawn = strokes(inside, width, generator(seed))
    assert not (drawn & ~inside).any()
    assert all(len(components(drawn & component)) == 1 for component in components(inside))


def test_a_scribble_is_a_narrow_stroke_near_the_middle_and_claims_little_of_the_rest() -> None:
    mask = np.zeros((96, 96), np.uint8)
    mask[40:61, 10:80] = 1
    rows = set()
    for seed in range(12):
        drawn = weaken(mask, Scribble(), generator(seed))
        assert 3 <= (drawn[:, 45] == 1).sum() <= 4  # the middle of an even number of rows is two
        assert (drawn == 1)[40:61, 20:65].any(axis=0).all(), "one stroke along the whole bar"
        assert (drawn[drawn != IGNORE] == mask[drawn != IGNORE]).all()
        assert 0.01 < (drawn == 0).mean() < 0.2
        rows.add(int(np.flatnonzero(drawn[:, 45] == 1)[1]))
    assert len(rows) > 2 and all(44 <= row <= 56 for row in rows), (
        "another seed draws elsewhere, near the middle"
    )


@given(mask=MASKS, seed=st.integers(0, 9))
@CHECKED
def test_scribbles_agree_with_the_truth_and_know_each_of_its_classes(mask: np.ndarray, seed: int) -> None:
    drawn = weaken(mask, Scribble(), generator(seed))
    claimed = drawn != IGNORE
    assert np.array_equal(drawn[claimed], mask[claimed])
    assert set(np.unique(drawn[claimed])) == set(np.unique(mask[mask != IGNORE]))


@given(mask=MASKS, seed=st.integers(0, 9))
@CHECKED
def test_eroded_is_a_part_and_dilated_holds_all(mask: np.ndarray, seed: int) -> None:
    smaller, larger = (
        weaken(mask, Outline(kind=kind, radius=(1, 3)), generator(seed)) for kind in ("erode", "dilate")
    )
    known = mask != IGNORE
    assert ((smaller == mask) | (smaller == 0))[known].all()
    assert (larger >= mask)[known].all()


@pytest.mark.parametrize("radius", [2, 5])
def test_the_radius_is_counted_in_pixels(radius: int) -> None:
    mask = disc(60, 20.2).astype(np.uint8)
    for kind, sign in (("dilate", 1), ("erode", -1)):
        drawn = weaken(mask, Outline(kind=kind, radius=(radius, radius)), generator(0))  # type: ignore[arg-type]
        assert drawn.sum() == pytest.approx(disc(60, 20.2 + sign * radius).sum(), rel=0.05)
