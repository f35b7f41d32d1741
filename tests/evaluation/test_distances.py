"""Distances of an evaluation are in mm where all images have a spacing, else in pixels in all of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from framework.core.storage import Store
from framework.corpus.reader import Corpus, Sample
from framework.corpus.sources.folder import folder_source
from framework.corpus.writer import pack
from framework.evaluation.evaluate import Case, unit_of

Write = Callable[[Path, list[dict[str, object]]], None]


def case(volume: str | None, spacing: list[float] | None, slices: int = 1) -> Case:
    """A mask of one class in a corner, and one missed: its distance is the image's diagonal."""
    shared: dict[str, Any] = {
        "group": "p",
        "split": "test",
        "volume": volume,
        "spacing": spacing,
        "bits": None,
    }
    made = Case("a", "p", spacing)
    for i in range(slices):
        mask = np.zeros((30, 40), np.uint8)
        mask[:2, :2] = 1
        sample = Sample(id=f"{i}", slice=i, image=mask[..., None], mask=mask, labels=np.zeros(0), **shared)
        made.samples.append(sample)
        made.predicted.append({"network": np.zeros((1, 30, 40), bool)})
    return made


@pytest.mark.parametrize(
    ("spacing", "unit", "diagonal"),
    [
        (None, "px", (30, 40)),
        ([0.5, 2.0], "px", (30, 40)),
        ([0.5, 2.0], "mm", (15, 80)),
        ([7.0, 0.5, 2.0], "mm", (15, 80)),
    ],
)
def test_an_image_is_measured_by_its_rows_and_columns(
    spacing: list[float] | None, unit: str, diagonal: tuple[float, float]
) -> None:
    (row,) = case(None, spacing).rows("network", ["background", "a"], unit)
    assert row["hd95"] == pytest.approx(np.hypot(*diagonal))


def test_a_volume_is_measured_by_its_slices_too() -> None:
    (row,) = case("v", [7.0, 0.5, 2.0], slices=3).rows("network", ["background", "a"], "mm")
    assert row["hd95"] == pytest.approx(np.linalg.norm([21, 15, 80]))


def test_the_unit_is_mm_where_all_images_have_a_spacing(
    folder: Path, tmp_path: Path, write_rows: Write
) -> None:
    rows: list[dict[str, object]] = [
        {"id": f"case-{i:02d}", "split": "train", "spacing": "0.5 0.7" if i < 11 else ""} for i in range(12)
    ]
    write_rows(folder / "labels.csv", rows)
    pack(folder_source(Store.at(folder), "c"), Store.at(tmp_path / "c"))
    corpus = Corpus.open(str(tmp_path / "c"))
    names = corpus.ids("train")
    assert corpus.value(names[0], "spacing") == pytest.approx([0.5, 0.7])
    assert (unit_of(corpus, names[:11]), unit_of(corpus, names)) == ("mm", "px")


def test_slices_are_stacked_by_their_number_whatever_comes_first() -> None:
    """Of two slices far apart the prediction has one alone: it is a distance of slices from the truth."""
    made = case("v", [1.0, 1.0, 1.0], slices=5)
    for sample, predicted in zip(made.samples, made.predicted, strict=True):
        sample.mask[:] = sample.slice == 0  # type: ignore[index]
        predicted["network"][:] = sample.slice == 4
    order = [2, 0, 4, 1, 3]
    made.samples = [made.samples[i] for i in order]
    made.predicted = [made.predicted[i] for i in order]
    (row,) = made.rows("network", ["background", "a"], "mm")
    assert row["hd95"] == pytest.approx(4)
