from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from framework.core.artifact import ArtifactSpec, Input, finish, is_finished
from framework.core.errors import CheckpointError, CorpusError, StorageError
from framework.core.storage import Store
from framework.corpus.reader import Corpus
from framework.corpus.schema import ROW, ROWS_PER_GROUP, LabelInfo
from framework.corpus.sources.folder import folder_source
from framework.corpus.writer import Reject, Source, pack
from framework.imaging.decode import encode_png

Encode = Callable[[np.ndarray], bytes]
TOTAL = 100
SHARD_MB = 0.05
"""About 12 rows of `source`."""


class Killed(BaseException):
    """As little as possible can be done about it."""


@pytest.fixture(scope="module")
def source(png: Encode) -> Source:
    """100 rows of noise, of which every tenth has no mask."""
    rng = np.random.default_rng(0)
    images = [png(rng.integers(0, 256, (64, 64), np.uint8)) for _ in range(TOTAL)]
    mask = png(np.tri(64, dtype=np.uint8))

    def rows(start: int) -> Iterator[dict[str, Any]]:
        for i in range(start, TOTAL):
            yield {
                "id": f"row-{i:03d}",
                "group": f"patient-{i // 2}",
                "split": "train" if i < 80 else "test",
                "image": images[i],
                "volume": None,
                "slice": None,
                "mask": mask if i % 10 else None,
                "mask_kind": "mask" if i % 10 else None,
                "labels": [i % 3],
                "source": "noise",
            }

    labels = [LabelInfo(name="grade", values=["a", "b", "c"])]
    return Source("noise", "noise-1", TOTAL, ["background", "corner"], "ids", labels, 1, rows)


def spoiled(source: Source, bad: dict[int, bytes | None]) -> Source:
    """The source with other image bytes at some places; None is a reject."""

    def rows(start: int) -> Iterator[dict[str, Any] | Reject]:
        for i, row in enumerate(source.rows(start), start=start):
            assert isinstance(row, dict)
            data = bad.get(i, row["image"])
            yield Reject(row["id"], "no file") if data is None else {**row, "image": data}

    return replace(source, rows=rows)


def killed_at(source: Source, place: int) -> Source:
    def rows(start: int) -> Iterator[Any]:
        for i, row in enumerate(source.rows(start), start=start):
            if i == place:
                raise Killed
            yield row

    return replace(source, rows=rows)


def contents(store: Store) -> list[dict[str, Any]]:
    shards = Corpus.open(store).info.shards
    return pa.concat_tables([store.read_table(name) for name in shards]).to_pylist()


def test_a_packed_corpus_holds_every_row_and_its_counts(source: Source, tmp_path: Path) -> None:
    store = Store.at(tmp_path / "c")
    told: list[int] = []
    info = pack(source, store, SHARD_MB, on_progress=told.append)
    assert sum(told) == TOTAL
    assert info.counts == {"rows": 100, "train": 80, "test": 20, "masks": 90, "quarantined": 0}
    assert [row["id"] for row in contents(store)] == [f"row-{i:03d}" for i in range(TOTAL)]
    assert {key: contents(store)[7][key] for key in ("height", "width", "labels")} == {
        "height": 64,
        "width": 64,
        "labels": [1],
    }
    assert all(row["hash"] == hashlib.sha256(row["image"]).hexdigest() for row in contents(store))
    assert store.names() == ["corpus.json", "quarantine.parquet", *info.shards]


def test_statistics_are_those_of_all_pixels(source: Source, tmp_path: Path) -> None:
    info = pack(source, Store.at(tmp_path / "c"), SHARD_MB)
    pixels = (
        np.stack(
            [
                sample.image
                for sample in Corpus.open(str(tmp_path / "c")).rows(f"row-{i:03d}" for i in range(TOTAL))
            ]
        )
        / 255
    )
    assert info.intensity.mean == pytest.approx([pixels.mean()])
    assert info.intensity.std == pytest.approx([pixels.std()])


def test_shards_are_of_the_size_asked_for_and_row_groups_small(source: Source, tmp_path: Path) -> None:
    store = Store.at(tmp_path / "c")
    info = pack(source, store, SHARD_MB)
    assert 6 <= len(info.shards) <= 12
    assert all(
        size < 2 * SHARD_MB * 2**20 for name, size in store.sizes().items() if name.startswith("rows-")
    )
    one = pack(source, Store.at(tmp_path / "one"), 256)
    assert one.shards == ["rows-00000.parquet"]
    groups = pq.ParquetFile(tmp_path / "one" / one.shards[0]).metadata
    assert groups.num_row_groups == -(-TOTAL // ROWS_PER_GROUP)
    assert pq.read_schema(tmp_path / "one" / one.shards[0]).equals(ROW)


def test_the_version_is_of_the_rows_and_not_of_the_shards(source: Source, tmp_path: Path) -> None:
    small, large = (pack(source, Store.at(tmp_path / str(size)), size) for size in (SHARD_MB, 256))
    changed = pack(spoiled(source, {3: next(iter(source.rows(4)))["image"]}), Store.at(tmp_path / "changed"))  # type: ignore[index]
    assert small.version == large.version != changed.version


MEANINGS: dict[str, Callable[[Source], Source]] = {
    "names of classes": lambda source: replace(source, classes=["background", "edge"]),
    "number of classes": lambda source: replace(source, classes=["background", "corner", "edge"]),
    "encoding": lambda source: replace(source, encoding="bits"),
    "names of labels": lambda source: replace(source, labels=[LabelInfo(name="level", values=[*"abc"])]),
    "values of labels": lambda source: replace(source, labels=[LabelInfo(name="grade", values=[*"xyz"])]),
    "channels": lambda source: replace(source, channels=3),
    "spacing": lambda source: edited(source, spacing=[0.5, 0.5]),
    "kind of mask": lambda source: edited(source, mask_kind="box"),
    "masks": lambda source: edited(source, mask=None, mask_kind=None),
    "pixels of a mask": lambda source: edited(source, mask=encode_png(np.eye(64, dtype=np.uint8))),
    "group": lambda source: edited(source, group="p"),
    "split": lambda source: edited(source, split="val"),
    "labels": lambda source: edited(source, labels=[2]),
}


def edited(source: Source, **fields: Any) -> Source:
    """The source with another value in its second row."""

    def rows(start: int) -> Iterator[Any]:
        for i, row in enumerate(source.rows(start), start=start):
            yield {**row, **fields} if i == 1 and isinstance(row, dict) else row

    return replace(source, rows=rows)


@pytest.fixture(scope="module")
def version(source: Source, tmp_path_factory: pytest.TempPathFactory) -> str:
    return pack(source, Store.at(tmp_path_factory.mktemp("whole"))).version


@pytest.mark.parametrize("meaning", MEANINGS)
def test_the_version_is_of_what_the_rows_mean(
    meaning: str, source: Source, version: str, tmp_path: Path
) -> None:
    other = replace(MEANINGS[meaning](source), fingerprint="noise-2")
    assert pack(other, Store.at(tmp_path / "other")).version != version


def test_the_name_of_a_corpus_is_not_part_of_its_version(
    source: Source, version: str, tmp_path: Path
) -> None:
    assert pack(replace(source, name="other", notes=["told"]), Store.at(tmp_path / "c")).version == version


def test_an_artifact_of_one_version_is_not_taken_for_that_of_another(source: Source, tmp_path: Path) -> None:
    """What a model, an evaluation and a layer are recognised by."""
    specs = []
    for name, classes in (("one", ["background", "corner"]), ("other", ["background", "edge"])):
        info = pack(replace(source, classes=classes), Store.at(tmp_path / name))
        specs.append(ArtifactSpec("model", {"corpus": Input(name, info.version)}, {}))
    finish(Store.at(tmp_path / "model"), specs[0], {}, 0)
    assert is_finished(Store.at(tmp_path / "model"), specs[0])
    with pytest.raises(CheckpointError, match="holds a finished model of another configuration or input"):
        is_finished(Store.at(tmp_path / "model"), specs[1])


def volume_rows(source: Source, *changes: dict[str, Any]) -> Source:
    """The source's first rows as slices of one volume, each with changes of its own."""
    rows = [
        {**row, "volume": "v", "slice": i, "group": "p", "spacing": [5.0, 1.0, 1.0], **change}
        for i, (row, change) in enumerate(zip(source.rows(0), changes, strict=False))
        if isinstance(row, dict)
    ]
    return replace(source, rows=lambda start: rows[start:], total=len(rows))


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"spacing": [5.0, 1.0, 2.0]}, "differ in spacing in mm: [5.0, 1.0, 1.0] and [5.0, 1.0, 2.0]"),
        ({"spacing": None}, "differ in spacing in mm: [5.0, 1.0, 1.0] and None"),
        ({"image": (64, 32, np.uint8), "mask": None}, "differ in size in pixels: (64, 64) and (64, 32)"),
        ({"image": (64, 64, np.uint16)}, "differ in bits of a pixel: 8 and 16"),
    ],
)
def test_slices_that_do_not_stack_are_refused(
    change: dict[str, Any], fault: str, source: Source, png: Encode, tmp_path: Path
) -> None:
    """Also when the build was cut between them."""
    if image := change.get("image"):
        change = {**change, "image": png(np.zeros(image[:2], image[2]))}
    broken = volume_rows(source, {}, {}, change)
    with pytest.raises(CorpusError) as caught:
        pack(broken, Store.at(tmp_path / "c"))
    expected = f"volume 'v': slices 'row-000' and 'row-002' {fault}; mend them, or take the volume out"
    assert str(caught.value) == expected
    with pytest.raises(Killed):
        pack(killed_at(broken, 2), Store.at(tmp_path / "cut"), 1e-6)
    with pytest.raises(CorpusError, match="volume 'v': slices 'row-000' and 'row-002' differ"):
        pack(broken, Store.at(tmp_path / "cut"), 1e-6)


def test_grey_slices_among_coloured_ones_are_refused_and_black_ones_are_not(
    source: Source, png: Encode, tmp_path: Path
) -> None:
    grey = np.random.default_rng(0).integers(0, 255, (64, 64, 1), np.uint8)
    black, grey, coloured = (
        {"image": png(np.broadcast_to(pixels, (64, 64, 3)).astype(np.uint8))}
        for pixels in (np.zeros(1), grey, grey * np.array([1.0, 0.5, 0.2]))
    )
    source = replace(source, channels=3)
    for i, alike in enumerate([(black, coloured, black, coloured), (black, grey, black)]):
        assert pack(volume_rows(source, *alike), Store.at(tmp_path / str(i))).counts["rows"] == len(alike)
    for i, mixed in enumerate([(coloured, grey), (black, coloured, black, grey)]):
        with pytest.raises(
            CorpusError, match=r"volume 'v': slices .* differ in colour: True and False; mend"
        ):
            pack(volume_rows(source, *mixed), Store.at(tmp_path / f"mixed-{i}"))


def test_a_slice_without_its_number_is_refused_whatever_the_source(source: Source, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="volume 'v': slice 'row-001' has no number; number all slices"):
        pack(volume_rows(source, {}, {"slice": None}), Store.at(tmp_path / "c"))


def test_a_record_of_a_build_by_another_version_is_one_line(source: Source, tmp_path: Path) -> None:
    store = Store.at(tmp_path / "c")
    for text in ("[]", '{"fingerprint": "noise-1", "strange": 1}'):
        store.write_text("building.json", text)
        with pytest.raises(
            CorpusError, match=r"building.json: not readable, .*; delete the folder and build"
        ):
            pack(source, store)


@pytest.mark.parametrize("place", [0, 1, 30, 55, 99])
def test_a_killed_build_goes_on_and_ends_the_same(place: int, source: Source, tmp_path: Path) -> None:
    whole, store = Store.at(tmp_path / "whole"), Store.at(tmp_path / "killed")
    with pytest.raises(Killed):
        pack(killed_at(source, place), store, SHARD_MB)
    with pytest.raises(CorpusError, match=r"its build was interrupted|no corpus here"):
        Corpus.open(store)
    taken: list[int] = []
    assert pack(source, store, SHARD_MB, on_progress=taken.append) == pack(source, whole, SHARD_MB)
    assert taken[0] >= min(place, TOTAL) - 20  # at most a shard is made anew
    assert contents(store) == contents(whole)
    assert store.names() == whole.names()


def test_a_kill_within_the_writing_of_a_shard_leaves_nothing_half_made(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store.at(tmp_path / "c")
    write = pq.write_table

    def cut(table: pa.Table, stream: Any, **options: Any) -> None:
        if "00002" in str(stream.name):
            stream.write(b"PAR1 half a shard")
            raise Killed
        write(table, stream, **options)

    monkeypatch.setattr(pq, "write_table", cut)
    with pytest.raises(Killed):
        pack(source, store, SHARD_MB)
    assert store.names() == ["building.json", "rows-00000.parquet", "rows-00001.parquet"]
    monkeypatch.undo()
    assert pack(source, store, SHARD_MB).version == pack(source, Store.at(tmp_path / "whole")).version


def test_the_same_again_is_recognised_and_another_source_refused(source: Source, tmp_path: Path) -> None:
    store = Store.at(tmp_path / "c")
    info = pack(source, store, SHARD_MB)
    assert pack(replace(source, rows=lambda start: [][start:]), store) == info
    other = replace(source, fingerprint="noise-2")
    with pytest.raises(CorpusError, match="another source"):
        pack(other, store)
    half = Store.at(tmp_path / "half")
    with pytest.raises(Killed):
        pack(killed_at(source, 50), half, SHARD_MB)
    with pytest.raises(CorpusError, match="another source"):
        pack(other, half)


def test_unusable_rows_go_to_quarantine_with_their_reason(source: Source, tmp_path: Path) -> None:
    store = Store.at(tmp_path / "c")
    info = pack(spoiled(source, {10: b"", 20: b"junk", 30: None}), store, SHARD_MB)
    assert (info.counts["rows"], info.counts["quarantined"]) == (97, 3)
    reasons = {row["id"]: row["reason"] for row in store.read_table("quarantine.parquet").to_pylist()}
    assert list(reasons) == ["row-010", "row-020", "row-030"]
    assert (reasons["row-010"], reasons["row-030"]) == ("image file is empty (0 bytes)", "no file")
    assert "not a picture" in reasons["row-020"]
    assert "row-020" not in {row["id"] for row in contents(store)}


def test_the_error_budget_stops_early_and_a_larger_one_goes_on(source: Source, tmp_path: Path) -> None:
    store, bad = Store.at(tmp_path / "c"), spoiled(source, dict.fromkeys(range(20), b""))
    told: list[int] = []
    with pytest.raises(
        CorpusError, match=r"rows cannot be used, over the error budget of 5.0% of 100 \(first: 'row-000'"
    ):
        pack(bad, store, SHARD_MB, 0.05, told.append)
    assert sum(told) < TOTAL
    assert store.read_table("quarantine.parquet").num_rows == 20
    with pytest.raises(CorpusError, match="20 rows cannot be used"):
        pack(bad, store, SHARD_MB, 0.1)
    assert pack(bad, store, SHARD_MB, 0.2).counts["rows"] == 80


def test_a_budget_is_kept_when_it_is_just_met(source: Source, tmp_path: Path) -> None:
    assert (
        pack(spoiled(source, dict.fromkeys(range(5), None)), Store.at(tmp_path / "c"), SHARD_MB, 0.05).counts[
            "rows"
        ]
        == 95
    )


def test_nothing_usable_is_an_error_whatever_the_budget(source: Source, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="no usable row"):
        pack(spoiled(source, dict.fromkeys(range(TOTAL), b"")), Store.at(tmp_path / "none"), error_budget=1)
    with pytest.raises(CorpusError, match="no row is in split 'train'"):
        pack(spoiled(source, dict.fromkeys(range(80), b"")), Store.at(tmp_path / "test"), error_budget=1)


def test_a_folder_that_cannot_be_written_says_so_before_the_work(source: Source, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    unread = replace(source, rows=lambda start: pytest.fail("rows were read"))
    with pytest.raises(StorageError, match="check that the place exists and is writable"):
        pack(unread, Store.at(tmp_path / "file" / "c"))


def test_classes_without_names_are_as_many_as_the_masks_hold(folder: Path, tmp_path: Path) -> None:
    assert pack(folder_source(Store.at(folder), "c"), Store.at(tmp_path / "ids")).classes == [
        "background",
        "class 1",
        "class 2",
    ]
    bits = pack(folder_source(Store.at(folder), "c", encoding="bits"), Store.at(tmp_path / "bits"))
    assert bits.classes == ["background", "class 1", "class 2"]


def test_masks_of_0_and_255_are_explained(source: Source, png: Encode, tmp_path: Path) -> None:
    black_and_white = png(255 * np.tri(64, dtype=np.uint8))
    rows = [{**row, "mask": black_and_white} for row in source.rows(0) if isinstance(row, dict)]
    with pytest.raises(
        CorpusError, match="the masks hold no class id but 0, and 255 means 'ignore'; save them with 1"
    ):
        pack(replace(source, rows=lambda start: rows[start:]), Store.at(tmp_path / "c"))


def test_masks_of_background_alone_are_refused(source: Source, png: Encode, tmp_path: Path) -> None:
    """Every method trained on them without a word."""
    rows = [
        {**row, "mask": png(np.zeros((64, 64), np.uint8))} for row in source.rows(0) if isinstance(row, dict)
    ]
    with pytest.raises(
        CorpusError, match=r"the masks hold no class id but 0; save them with 1 .*, or leave masks/ away"
    ):
        pack(replace(source, rows=lambda start: rows[start:]), Store.at(tmp_path / "c"))
