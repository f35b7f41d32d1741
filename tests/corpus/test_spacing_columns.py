from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framework.core.errors import CorpusError
from framework.corpus.sources.labels_csv import meaning
from framework.corpus.sources.spacing_columns import spacing_of

SIZE = st.floats(1e-4, 999, allow_nan=False)


@pytest.mark.parametrize(
    ("column", "read_as"),
    [
        ("spacing", "spacing"),
        ("Spacing (mm)", "spacing"),
        ("PixelSpacing", "spacing"),
        ("spacing_x", "spacing_x"),
        ("Spacing-Y", "spacing_y"),
        ("z_spacing", "spacing_z"),
        ("SpacingBetweenSlices", "spacing_z"),
        ("pixel_spacing_x_mm", "spacing_x"),
        ("row spacing", "spacing_y"),
        ("slice_thickness", "slice_thickness"),
        ("spaced", "spaced"),
    ],
)
def test_near_spellings_are_known(column: str, read_as: str) -> None:
    assert meaning(column) == read_as


@pytest.mark.parametrize(
    ("columns", "of_volume", "spacing"),
    [
        ({}, False, None),
        ({"spacing": ""}, True, None),
        ({"spacing": "0.5"}, False, [0.5, 0.5]),
        ({"spacing": "1.5"}, True, [1.5, 1.5, 1.5]),
        ({"spacing": "0.5 0.7"}, False, [0.5, 0.7]),
        ({"spacing": "[10, 0.5, 0.7]"}, True, [10, 0.5, 0.7]),
        ({"spacing": "10,0.5,0.7"}, True, [10, 0.5, 0.7]),
        ({"spacing": "5,1,1"}, True, [5, 1, 1]),
        ({"spacing": "1, 2"}, False, [1, 2]),
        ({"spacing": "0.5x0.7"}, False, [0.5, 0.7]),
        ({"spacing": "0.5\\0.7"}, False, [0.5, 0.7]),
        ({"spacing": "0,5 0,7"}, False, [0.5, 0.7]),
        ({"spacing_x": "0,7", "spacing_y": "0.5"}, False, [0.5, 0.7]),
        ({"spacing_x": "0.7", "spacing_y": "0.5", "spacing_z": "10"}, True, [10, 0.5, 0.7]),
    ],
)
def test_spacings_are_slice_row_column(
    columns: dict[str, str], of_volume: bool, spacing: list[float] | None
) -> None:
    assert spacing_of({"id": "a", **columns}, of_volume) == spacing


@pytest.mark.parametrize(
    ("columns", "of_volume", "reason"),
    [
        ({"spacing": "0"}, False, "'0' is no size of a pixel: give millimetres over 0 and below 1000"),
        ({"spacing": "-1"}, False, "'-1' is no size of a pixel"),
        ({"spacing": "1 inf"}, False, "'inf' is no size of a pixel"),
        ({"spacing": "1 nan"}, False, "'nan' is no size of a pixel"),
        ({"spacing": "1" * 30}, False, "'11111111111111111111' is no size of a pixel"),
        ({"spacing": "half"}, False, "'half' is no size of a pixel"),
        ({"spacing": "0,5"}, False, "'0,5' may be one number or two: write 0.5, or 0.5 0.5"),
        ({"spacing": "1 1 1 1"}, False, "'1 1 1 1' has 4 numbers"),
        (
            {"spacing": "1 1"},
            True,
            "of a volume lacks the distance from slice to slice: give it as spacing_z",
        ),
        ({"spacing_x": "1"}, False, "lacks an axis: give spacing_x and spacing_y"),
        ({"spacing_x": "1", "spacing_z": "1"}, True, "lacks an axis"),
        ({"spacing_x": "1", "spacing": "1"}, False, "is said twice"),
    ],
)
def test_what_is_no_spacing_names_the_row(columns: dict[str, str], of_volume: bool, reason: str) -> None:
    with pytest.raises(CorpusError) as caught:
        spacing_of({"id": "a", **columns}, of_volume)
    assert str(caught.value).startswith(f"labels.csv: id 'a': spacing {reason}")


@given(st.lists(SIZE, min_size=3, max_size=3), st.sampled_from([" ", ", ", "; ", "x", "\\"]))
def test_any_sizes_come_back(sizes: list[float], sign: str) -> None:
    spacing = spacing_of({"id": "a", "spacing": sign.join(f"{size:.6f}" for size in sizes)}, True)
    assert spacing is not None
    assert all(math.isclose(one, other, abs_tol=1e-6) for one, other in zip(spacing, sizes, strict=True))
