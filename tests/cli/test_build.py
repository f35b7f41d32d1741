"""`scantseg corpus build`: what is refused, what goes to quarantine, in one line each."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from framework.corpus.reader import Corpus
from tests.cli.support import Scantseg


def bomb(path: Path) -> None:
    """A valid PNG of 20,000 x 20,000 one-bit pixels."""
    import struct
    import zlib

    deflate = zlib.compressobj(1)
    body = b"".join(deflate.compress(bytes(2501)) for _ in range(20000)) + deflate.flush()
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", 20000, 20000, 1, 0, 0, 0, 0)),
        (b"IDAT", body),
        (b"IEND", b""),
    ]
    packed = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    ]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(packed))


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-24])


def paint(
    shape: tuple[int, ...], value: int = 0, depth: type[np.generic] = np.uint8
) -> Callable[[Path], None]:
    return lambda path: Image.fromarray(np.full(shape, value, depth)).save(path)


def paint_red(path: Path) -> None:
    Image.new("RGBA", (20, 24), "red").save(path)


BAD_ROWS = {
    "zero bytes": ("images", lambda path: path.write_bytes(b""), "image file is empty (0 bytes)"),
    "truncated": ("images", truncate, "image file cannot be read: truncated or damaged"),
    "not an image": (
        "images",
        lambda path: path.write_text("<html>404</html>"),
        "image file cannot be read: not a picture",
    ),
    "bomb": ("images", bomb, "image is over the limit of 64 megapixels"),
    "missing image": ("images", lambda path: path.unlink(), "no file of this id in images/"),
    "mask of another size": ("masks", paint((20, 24)), "mask is 24 x 20 but its image is 20 x 24"),
    "unknown class": ("masks", paint((24, 20), 7), "mask has unknown class ids [7]: 0..2 are known"),
    "deep unknown class": ("masks", paint((24, 20), 600, np.uint16), "mask has unknown class ids [600]"),
    "mask in colour": ("masks", paint_red, "mask is in colour: needs one channel of class ids"),
    "truncated mask": ("masks", truncate, "mask file cannot be read: truncated or damaged"),
}


@pytest.mark.parametrize("fault", BAD_ROWS)
def test_a_bad_row_stops_the_build_or_goes_to_quarantine_as_the_budget_says(
    fault: str, folder: Path, tmp_path: Path, scantseg: Scantseg
) -> None:
    place, spoil, reason = BAD_ROWS[fault]
    spoil(folder / place / "case-03.png")
    command = ["corpus", "build", folder, tmp_path / "c", "--classes", "background,a,b"]
    complaint = scantseg(*command).complaint
    assert "1 row cannot be used, over the error budget of 5.0% of 12" in complaint
    assert f"'case-03': {reason}" in complaint
    assert not (tmp_path / "c/corpus.json").exists()
    again = scantseg(*command, "--error-budget", "0.1")
    assert again.code == 0
    assert "11 images in 1 shard," in again.out
    assert "1 row in quarantine" in again.err
    [row] = pq.read_table(tmp_path / "c/quarantine.parquet").to_pylist()
    assert row["id"] == "case-03" and row["reason"].startswith(reason)


def test_unusual_but_readable_pictures_are_rows(folder: Path, tmp_path: Path, scantseg: Scantseg) -> None:
    deep = np.arange(480, dtype=np.uint16).reshape(24, 20) * 100
    Image.fromarray(deep).save(folder / "images/case-00.png")
    colours = np.random.default_rng(0).integers(0, 256, (24, 20, 4), np.uint8)
    Image.fromarray(colours).save(folder / "images/case-01.png")
    mask = np.asarray(Image.open(folder / "masks/case-02.png"))
    Image.fromarray(mask.astype(np.uint16)).save(folder / "masks/case-02.png")
    assert scantseg("corpus", "build", folder, tmp_path / "c").code == 0
    corpus = Corpus.open(str(tmp_path / "c"))
    assert corpus.info.counts["rows"] == 12
    assert np.array_equal(corpus.image("case-00")[..., 0], deep)
    assert np.array_equal(corpus.image("case-01"), colours[..., :3])
    assert (corpus.mask("case-02") == mask).all()


def test_files_without_rows_are_in_quarantine(folder: Path, tmp_path: Path, scantseg: Scantseg) -> None:
    shutil.copy(folder / "images/case-00.png", folder / "images/stray.png")
    assert (
        "'stray': image without a row of its id"
        in scantseg("corpus", "build", folder, tmp_path / "c").complaint
    )
    assert "12 images" in scantseg("corpus", "build", folder, tmp_path / "c", "--error-budget", "0.1").out


def test_what_was_found_is_told_at_build_and_by_inspect(
    folder: Path, tmp_path: Path, scantseg: Scantseg
) -> None:
    table = (folder / "labels.csv").read_text().splitlines()
    ages = "".join(f"{line};{'age' if i == 0 else 40.5 + i}\n" for i, line in enumerate(table))
    (folder / "labels.csv").write_bytes(ages.replace(",", ";").encode("utf-16"))
    (folder / "images/scan.dcm").write_bytes(b"x")
    shutil.copy(folder / "images/case-00.png", folder / "images/case-10.png")
    (folder / "masks/case-03.png").write_bytes(b"x")
    command = ["corpus", "build", folder, tmp_path / "c", "--error-budget", "0.1"]
    told = [
        "labels.csv is read as utf-16 text",
        "labels.csv is read as separated by semicolons",
        "column 'age' is left out: its numbers are not all whole ones from 0 to 63, such as '41.5'",
        "images/: 1 file of kinds that are not read (.dcm): 'scan.dcm'; save pictures as PNG",
        "1 picture in two splits, so that scores flatter: 'case-00' (train) = 'case-10' (test)",
        "split 'val' holds one group alone, 'p4': it says little of others",
        "split 'test' holds one group alone, 'p5': it says little of others",
    ]
    for _ in range(2):  # the same command again says the same
        assert [line for line in scantseg(*command).err.splitlines() if line.startswith("note:")] == [
            f"note: {line}" for line in told
        ]
    shown = scantseg("corpus", "inspect", tmp_path / "c", "--out", tmp_path / "sheet.png").out
    assert all(f"note: {line}\n" in shown for line in told)
    assert "note: 1 in quarantine ('case-03'): mask file cannot be read: not a picture" in shown


def test_a_mask_edited_in_place_is_another_source(folder: Path, tmp_path: Path, scantseg: Scantseg) -> None:
    (folder / "masks/case-01.png").unlink()
    mask, pixels = folder / "masks/case-01.bmp", np.eye(24, 20, dtype=np.uint8)
    Image.fromarray(pixels).save(mask)
    assert scantseg("corpus", "build", folder, tmp_path / "c").code == 0
    size = mask.stat().st_size
    Image.fromarray(1 - pixels).save(mask)
    assert mask.stat().st_size == size
    assert "one that changed since" in scantseg("corpus", "build", folder, tmp_path / "c").complaint


BAD_TABLES = {
    "id,split\n": "labels.csv: no rows; it needs one row per image",
    "": "labels.csv: no column 'id'; it has: none",
    "id,split\ncase-00,train\ncase-00,train\n": "labels.csv: id 'case-00' occurs twice; ids must be unique",
    "id,split,patient\ncase-00,train,p\ncase-01,test,p\n": "group 'p' is in two splits, 'train' and 'test'",
    'id,split\n"case\n00",trian\n': "labels.csv: id 'case 00' has split 'trian'",
    "id,split\ncase-00,trian\n": "labels.csv: id 'case-00' has split 'trian'; did you mean 'train'?",
    "id,volume,slice\ncase-00,v,1\ncase-01,v,\n": "id 'case-01' of volume 'v' has no slice number",
    "id,spacing_x,spacing_y\ncase-00,0,1\n": "labels.csv: id 'case-00': spacing '0' is no size of a pixel",
    f"id,spacing\ncase-00,{'9' * 30}\n": "id 'case-00': spacing '99999999999999999999' is no size of a pixel",
    "id,split\ncase-00,test\n": "no row is in split 'train'; check the column 'split' of labels.csv",
}


@pytest.mark.parametrize("text", BAD_TABLES)
def test_a_bad_table_is_one_line(text: str, folder: Path, tmp_path: Path, scantseg: Scantseg) -> None:
    (folder / "labels.csv").write_text(text)
    assert (
        BAD_TABLES[text]
        in scantseg("corpus", "build", folder, tmp_path / "c", "--error-budget", "1").complaint
    )


def test_sources_that_are_not_there(folder: Path, tmp_path: Path, scantseg: Scantseg) -> None:
    def complaint(source: object, out: object = tmp_path / "c") -> str:
        return scantseg("corpus", "build", source, out).complaint

    assert (
        complaint(tmp_path / "nowhere")
        == f"{tmp_path}/nowhere: no folder there; expected images/, masks/ and labels.csv"
    )
    (folder / "labels.csv").rename(folder / "labels.txt")
    assert complaint(folder) == f"{folder}: no labels.csv there; expected images/, masks/ and labels.csv"
    assert "storage 'az://' is not known; use a local path, s3://bucket" in complaint("az://bucket/folder")
    assert "storage 'hdfs://' is not known" in complaint(folder, "hdfs://c")


def test_a_corpus_of_another_source_is_left_alone(folder: Path, tmp_path: Path, scantseg: Scantseg) -> None:
    assert scantseg("corpus", "build", folder, tmp_path / "c").code == 0
    before = (tmp_path / "c/corpus.json").read_text()
    assert scantseg("corpus", "build", folder, tmp_path / "c").code == 0
    assert (
        "holds a corpus from another source"
        in scantseg("corpus", "phantom", "--images", 4, "--out", tmp_path / "c").complaint
    )
    assert (tmp_path / "c/corpus.json").read_text() == before


def test_masks_of_other_values_are_refused_and_then_converted(
    folder: Path, tmp_path: Path, scantseg: Scantseg
) -> None:
    for path in (folder / "masks").iterdir():
        Image.fromarray(np.array([0, 128, 255], np.uint8)[np.asarray(Image.open(path))]).save(path)
    build = ["corpus", "build", folder]
    assert scantseg(*build, tmp_path / "c").complaint == (
        f"{folder}/masks: masks hold values 0, 128, 255 (such as 'case-00.png'), but class ids run from 0 "
        "without gaps; give --mask-values 0,128,255, in the order of the numbers 0, 1, … they are"
    )
    assert scantseg(*build, tmp_path / "c", "--mask-values", "0,128,255").code == 0
    corpus = Corpus.open(str(tmp_path / "c"))
    mask = corpus.mask("case-00")
    assert corpus.info.classes == ["background", "class 1", "class 2"]
    assert mask is not None and mask[4, 3] == 1 and mask[14, 10] == 2
    other = scantseg(*build, tmp_path / "c", "--mask-values", "0,255,128")
    assert "holds a corpus from another source, one that changed since, or other options" in other.complaint


def test_transparency_that_is_dropped_is_told(folder: Path, tmp_path: Path, scantseg: Scantseg) -> None:
    Image.new("RGBA", (20, 24), (9, 9, 9, 90)).save(folder / "images/case-05.png")
    outcome = scantseg("corpus", "build", folder, tmp_path / "c")
    said = "1 image with transparent pixels (such as 'case-05'): transparency is dropped"
    assert outcome.code == 0 and said in outcome.err


def test_images_are_stored_as_they_are_told(folder: Path, tmp_path: Path, scantseg: Scantseg) -> None:
    for channels in (1, 3):
        out = tmp_path / str(channels)
        assert scantseg("corpus", "build", folder, out, "--channels", channels).code == 0
        assert Corpus.open(str(out)).image("case-00").shape == (24, 20, channels)
