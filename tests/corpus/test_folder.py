from __future__ import annotations

import os
import shutil
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from framework.core.errors import CorpusError, StorageError
from framework.core.storage import Store
from framework.corpus.sources.folder import folder_source
from framework.corpus.writer import Reject

Write = Callable[[Path, list[dict[str, object]]], None]


SLICES = ("x2", "2", "3.0", "1" * 30, "-1")


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
        "dangling": "images/dangling.png is a link that leads out of the folder, or nowhere: "
        "copy the picture itself",
    }
    assert folder_source(Store.at(folder), "tiny").total == len(candidates(folder)) == 15


def test_a_slice_that_is_no_number_is_a_reject(folder: Path, write_rows: Write) -> None:
    write_rows(
        folder / "labels.csv",
        [{"id": f"case-0{i}", "patient": "p", "slice": text} for i, text in enumerate(SLICES)],
    )
    reasons = rejects(folder)
    assert reasons["case-00"] == "labels.csv: slice 'x2' is not a whole number"
    assert [reasons[f"case-0{i}"] for i in (3, 4)] == [
        "labels.csv: slice '11111111111111111111' is not a whole number",
        "labels.csv: slice '-1' is not a whole number",
    ]
    assert [row["slice"] for row in candidates(folder)[1:3]] == [2, 3]


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
    for kind in ("images", "masks"):
        file, before = folder / kind / "case-05.png", fingerprint()
        whole = file.read_bytes()
        file.write_bytes(whole[:60] + bytes([whole[60] ^ 1]) + whole[61:])  # in place, of the same size
        assert fingerprint() != before
        file.write_bytes(whole)
    assert fingerprint() == first


def notes(folder: Path) -> list[str]:
    return folder_source(Store.at(folder), "tiny").notes


def test_files_that_are_not_read_are_named(folder: Path) -> None:
    assert notes(folder) == []
    (folder / "images/case-02.png").rename(folder / "images/case-02.HEIC")
    (folder / "masks/case-03.png").rename(folder / "masks/case-03.nii.gz")
    for name in ("b.gif", "c.dcm", "d", ".hidden", "Thumbs.db"):
        (folder / "images" / name).write_bytes(b"x")
    (folder / "images/more/deep").mkdir(parents=True)
    for name in ("a.png", "deep/b.JPG", "deep/notes.txt"):
        (folder / "images/more" / name).write_bytes(b"x")
    (folder / "images/more/again").symlink_to(folder / "images")
    assert notes(folder) == [
        "images/: 4 files of kinds that are not read (.dcm, .gif, .heic, no ending): "
        "'b.gif', 'c.dcm', 'case-02.HEIC' and 1 more; save pictures as PNG",
        "images/: 2 pictures in subfolders not read: 'more/a.png', 'more/deep/b.JPG'; move them up",
        "masks/: 1 file of kinds that are not read (.nii.gz): 'case-03.nii.gz'; save pictures as PNG",
    ]
    assert rejects(folder) == {
        "case-02": "images/case-02.HEIC is of a kind that is not read: save it as PNG",
        "case-03": "masks/case-03.nii.gz is of a kind that is not read: save it as PNG",
    }


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("stored", ["NFC", "NFD"])
def test_names_match_in_either_form_of_unicode(
    form: Any, stored: Any, folder: Path, write_rows: Write
) -> None:
    name = "Müller"
    for kind in ("images", "masks"):
        (folder / kind / "case-00.png").rename(folder / kind / f"{unicodedata.normalize(stored, name)}.PNG")
    write_rows(folder / "labels.csv", [{"id": unicodedata.normalize(form, name), "split": "train"}])
    row = candidates(folder)[0]
    assert row["id"] == name and row["mask"] is not None


def test_two_forms_of_one_name_are_of_one_id(folder: Path) -> None:
    for form in ("NFC", "NFD"):
        shutil.copy(folder / "images/case-00.png", folder / f"images/{unicodedata.normalize(form, 'é')}.png")
    with pytest.raises(CorpusError, match="are of one id; keep one of them"):
        folder_source(Store.at(folder), "tiny")


@pytest.mark.parametrize("kind", ["images", "masks"])
def test_a_link_that_leads_out_of_the_folder_imports_nothing(kind: str, folder: Path, tmp_path: Path) -> None:
    """A folder that somebody else packed must not bring in pictures of this machine."""
    inside, secret = folder / kind / "case-01.png", tmp_path / "secret.png"
    shutil.move(folder / kind / "case-00.png", secret)
    (folder / kind / "case-00.png").symlink_to(secret)
    inside.rename(folder / kind / "store.png")
    inside.symlink_to("store.png")
    found = rejects(folder)
    assert found["case-00"] == (
        f"{kind}/case-00.png is a link that leads out of the folder, or nowhere: copy the picture itself"
    )
    assert "case-01" not in found


def test_a_folder_that_is_a_link_is_told(folder: Path) -> None:
    (folder / "images").rename(folder / "elsewhere")
    (folder / "images").symlink_to("elsewhere")
    assert notes(folder) == ["images/ is a link to another folder, and its pictures are taken"]
    assert rejects(folder) == {}


def test_a_name_that_is_not_utf_8_is_one_line(folder: Path) -> None:
    os.rename(folder / "images/case-00.png", os.fsencode(folder / "images") + b"/M\xfcller.png")
    with pytest.raises(StorageError, match="images': a name here is not UTF-8; rename that file or folder"):
        folder_source(Store.at(folder), "tiny")


def test_spacings_of_the_table_are_those_of_the_rows(folder: Path, write_rows: Write) -> None:
    shared: dict[str, object] = {"split": "train", "spacing_x": "0.7", "spacing_y": "0.5"}
    rows = [{"id": f"case-{i:02d}", **shared} for i in range(12)]
    blank: dict[str, object] = {"spacing_x": "", "spacing_y": "NA"}
    write_rows(folder / "labels.csv", [*rows[:-1], rows[-1] | blank])
    source = folder_source(Store.at(folder), "tiny")
    spacings = [row["spacing"] for row in source.rows(0) if isinstance(row, dict)]
    assert spacings == [[0.5, 0.7]] * 11 + [None]
    assert source.labels == [] and source.notes == []


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
        (["background", ""], "ids", "a name is empty; give each class a name of its own"),
        (["background", "mean"], "ids", "'mean' is the name of the mean over the classes; give each"),
    ],
)
def test_class_names_are_checked(classes: list[str], encoding: Any, reason: str, folder: Path) -> None:
    with pytest.raises(CorpusError, match=reason):
        folder_source(Store.at(folder), "tiny", classes, encoding)
