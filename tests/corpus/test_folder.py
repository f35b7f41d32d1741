from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from framework.core.errors import CorpusError
from framework.core.storage import Store
from framework.corpus.sources.folder import folder_source
from framework.corpus.writer import Reject

Write = Callable[[Path, list[dict[str, object]]], None]


def candidates(folder: Path, start: int = 0, **options: Any) -> list[Any]:
    return list(folder_source(Store.at(folder), "tiny", **options).rows(start))


def rejects(folder: Path) -> dict[str, str]:
    return {row.id: row.reason for row in candidates(folder) if isinstance(row, Reject)}


def test_a_folder_is_a_source_of_rows(folder: Path) -> None:
    source = folder_source(Store.at(folder), "tiny", ["background", "a", "b"])
    rows = candidates(folder)
    assert (source.name, source.total, source.channels, source.encoding) == ("tiny", 12, 1, "ids")
    assert [info.name for info in source.labels] == ["grade", "sex"]
    assert [row["id"] for row in rows] == [f"case-{i:02d}" for i in range(12)]
    assert rows[3]["image"] == (folder / "images/case-03.png").read_bytes()
    assert rows[3]["mask"] == (folder / "masks/case-03.png").read_bytes()
    assert (rows[3]["group"], rows[3]["split"], rows[3]["labels"], rows[3]["mask_kind"]) == (
        "p1",
        "train",
        [1, 1],
        "mask",
    )


def test_rows_can_start_anywhere(folder: Path) -> None:
    assert candidates(folder, 5) == candidates(folder)[5:]


def test_an_image_without_a_mask_is_a_row(folder: Path) -> None:
    (folder / "masks/case-03.png").unlink()
    row = candidates(folder)[3]
    assert row["mask"] is row["mask_kind"] is None


def test_slices_stack_to_volumes(folder: Path, write_rows: Write) -> None:
    rows = [
        {"id": f"case-{i:02d}", "patient": f"p{i // 4}", "phase": "ab"[i // 2 % 2], "slice": i % 2}
        for i in range(12)
    ]
    write_rows(folder / "labels.csv", rows)
    assert [(row["volume"], row["slice"]) for row in candidates(folder)[2:6]] == [
        ("p0-b", 0),
        ("p0-b", 1),
        ("p1-a", 0),
        ("p1-a", 1),
    ]


def test_nothing_is_left_out_without_a_word(folder: Path, write_rows: Write) -> None:
    (folder / "images/case-02.png").unlink()
    shutil.copy(folder / "images/case-01.png", folder / "images/stray.png")
    shutil.copy(folder / "masks/case-01.png", folder / "masks/case-01_mask.png")
    (folder / "images/dangling.png").symlink_to("nowhere.png")
    (folder / "images/Thumbs.db").write_bytes(b"x")
    (folder / "images/folder.png").mkdir()
    assert rejects(folder) == {
        "case-02": "no file of this id in images/",
        "stray": "image without a row of its id in labels.csv",
        "case-01_mask": "mask without a row of its id in labels.csv",
    }
    assert folder_source(Store.at(folder), "tiny").total == len(candidates(folder)) == 14


def test_a_slice_that_is_no_number_is_a_reject(folder: Path, write_rows: Write) -> None:
    write_rows(folder / "labels.csv", [{"id": "case-00", "slice": "x2"}, {"id": "case-01", "slice": "2"}])
    assert rejects(folder)["case-00"] == "labels.csv: slice 'x2' is not a whole number"
    assert candidates(folder)[1]["slice"] == 2


def test_one_colour_image_makes_the_corpus_colour(folder: Path) -> None:
    Image.new("RGB", (20, 24), "red").save(folder / "images/case-07.png")
    (folder / "images/case-00.png").write_bytes(b"")  # an unreadable one says nothing
    assert folder_source(Store.at(folder), "tiny").channels == 3
    assert folder_source(Store.at(folder), "tiny", channels=1).channels == 1


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_grey_images_stored_in_colour_are_grey(mode: str, folder: Path) -> None:
    for path in (folder / "images").iterdir():
        Image.open(path).convert(mode).save(path)
    assert folder_source(Store.at(folder), "tiny").channels == 1
    assert folder_source(Store.at(folder), "tiny", channels=3).channels == 3


def test_the_fingerprint_is_of_table_files_and_options(folder: Path) -> None:
    def fingerprint(**options: Any) -> str:
        return folder_source(Store.at(folder), "tiny", **options).fingerprint

    first = fingerprint()
    assert fingerprint() == first
    assert fingerprint(classes=["background", "a", "b"]) != first
    assert fingerprint(labels=["grade"]) != first
    Image.fromarray(np.zeros((24, 20), np.uint8)).save(folder / "images/case-05.png")
    assert fingerprint() != first


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda folder: shutil.rmtree(folder), "no folder there; expected images/"),
        (lambda folder: (folder / "labels.csv").unlink(), "no labels.csv there; expected images/"),
        (lambda folder: shutil.rmtree(folder / "images"), "images: no image found"),
        (
            lambda folder: (folder / "labels.csv").write_text("id\nother\n"),
            r"no id of labels.csv has a file in images/ \(such as 'case-00'\)",
        ),
        (
            lambda folder: (folder / "images/case-00.jpg").write_bytes(b""),
            "'case-00.jpg' and 'case-00.png' are of one id",
        ),
    ],
)
def test_what_is_no_such_folder_says_why(spoil: Callable[[Path], Any], reason: str, folder: Path) -> None:
    spoil(folder)
    with pytest.raises(CorpusError, match=reason):
        folder_source(Store.at(folder), "tiny")


@pytest.mark.parametrize(
    ("classes", "encoding", "reason"),
    [
        (["background"], "ids", "1 names; give 2 to 255"),
        (["background", *"abcdefghi"], "bits", "10 names; give 2 to 9"),
        (["background", "a", "a"], "ids", "occurs twice"),
    ],
)
def test_class_names_are_checked(classes: list[str], encoding: Any, reason: str, folder: Path) -> None:
    with pytest.raises(CorpusError, match=reason):
        folder_source(Store.at(folder), "tiny", classes, encoding)
