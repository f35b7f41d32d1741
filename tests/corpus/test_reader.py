from __future__ import annotations

import gc
import json
import random
import shutil
import tempfile
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from botocore.exceptions import EndpointConnectionError
from hypothesis import given, settings
from hypothesis import strategies as st

from framework.core.errors import CorpusError, StorageError, Unreachable
from framework.core.storage import Store
from framework.corpus.reader import Corpus
from framework.corpus.sources import phantom
from framework.corpus.writer import Source, pack
from framework.imaging.decode import flatten_bits

Encode = Callable[[np.ndarray], bytes]


@pytest.fixture(scope="module")
def corpus(phantom_url: str) -> Corpus:
    return Corpus.open(phantom_url)


def source_of(ids: list[str], image: Callable[[int], bytes], **fields: Any) -> Source:
    """Rows with these ids, all in training, without labels."""
    common = {
        "split": "train",
        "volume": None,
        "slice": None,
        "mask": None,
        "mask_kind": None,
        "labels": [],
        "source": "test",
    }

    def rows(start: int) -> Iterator[dict[str, Any]]:
        for i, name in enumerate(ids[start:], start=start):
            yield {**common, "id": name, "group": name, "image": image(i), **fields}

    return Source("test", "test", len(ids), ["background", "a"], "ids", [], 1, rows)


def test_a_row_is_what_was_packed(corpus: Corpus) -> None:
    for index in (0, 17, 59):
        drawn, sample = phantom.draw(1, index, 48), corpus.read(f"phantom-{index:06d}")
        assert sample.bits is not None
        assert np.array_equal(sample.image, drawn.image)
        assert np.array_equal(sample.bits, drawn.bits)
        assert (sample.mask == flatten_bits(drawn.bits)).all()
        assert (sample.labels.tolist(), sample.group) == (drawn.labels, drawn.patient)
        assert np.array_equal(corpus.image(sample.id), sample.image)


def test_the_index_has_all_that_is_light(corpus: Corpus) -> None:
    assert "image" not in corpus.index_columns
    assert corpus.index_columns["id"] == [f"phantom-{i:06d}" for i in range(60)]
    assert corpus.value("phantom-000003", "group") == "patient-000001"
    assert sum(len(corpus.ids(split)) for split in ("train", "val", "test")) == 60


def test_rows_come_in_stored_order_however_they_are_asked_for(corpus: Corpus) -> None:
    names = corpus.index_columns["id"]
    mixed = random.Random(0).sample(names, 20)
    assert [sample.id for sample in corpus.rows(mixed)] == sorted(mixed, key=names.index)


def test_a_split_that_is_not_there_names_those_that_are(corpus: Corpus) -> None:
    with pytest.raises(CorpusError, match="no row in split 'tset'; it has: test, train, val"):
        corpus.ids("tset")


@settings(max_examples=20, deadline=None)
@given(
    ids=st.lists(
        st.text(st.characters(exclude_categories=["Cs"]), min_size=1), min_size=1, max_size=70, unique=True
    )
)
def test_any_ids_come_back(png: Encode, ids: list[str]) -> None:
    with tempfile.TemporaryDirectory() as place:
        pack(source_of(ids, lambda i: png(np.full((1, 1), i, np.uint8))), Store.at(place), shard_mb=0.001)
        corpus = Corpus.open(place)
        assert corpus.ids("train") == ids
        assert [corpus.image(name)[0, 0, 0] for name in reversed(ids)] == list(range(len(ids)))[::-1]


def test_what_is_no_corpus_says_what_to_do(tmp_path: Path, phantom_url: str) -> None:
    with pytest.raises(CorpusError, match="no corpus here; make one with `scantseg corpus build`"):
        Corpus.open(str(tmp_path / "nowhere"))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"name": "x"', r"not valid JSON \(.*\); the file is damaged; build the corpus anew"),
        ('{"name": "x"}', r"not readable \(format: Field required\); build the corpus anew"),
        ("[]", r"not readable \(all of it: Input should be .*\); build the corpus anew"),
        ("\0\1", r"not valid JSON \(.*\); the file is damaged; build the corpus anew"),
        (
            '{"name": "x", "version": "01f5"}',
            "of format 1, and this scantseg reads format 2; build the corpus anew, into another folder",
        ),
    ],
)
def test_a_corpus_json_of_another_shape_is_one_line(text: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "corpus.json").write_text(text)
    with pytest.raises(CorpusError, match=rf"^{tmp_path}/corpus.json: {reason}$"):
        Corpus.open(str(tmp_path))


def test_counts_that_lack_the_rows_are_no_description(tmp_path: Path, phantom_url: str) -> None:
    described = json.loads((Path(phantom_url) / "corpus.json").read_text())
    (tmp_path / "corpus.json").write_text(json.dumps(described | {"counts": {"train": 1}}))
    with pytest.raises(CorpusError, match=r"counts: Value error, lacks quarantined and rows\); build"):
        Corpus.open(str(tmp_path))


def test_a_damaged_row_is_named_with_its_shard(tmp_path: Path, png: Encode) -> None:
    """A picture that was whole at build: what a flipped bit of a disk does to it."""
    noise = np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)
    pack(source_of(["a", "b"], lambda i: png(noise + i)), Store.at(tmp_path / "c"))
    shard = tmp_path / "c/rows-00000.parquet"
    whole, picture = shard.read_bytes(), png(noise + 1)
    shard.write_bytes(whole.replace(picture[200:300], bytes(100)))
    corpus = Corpus.open(str(tmp_path / "c"))
    for read in (corpus.image, corpus.read):
        with pytest.raises(StorageError) as caught:
            read("b")
        assert str(caught.value).startswith(f"{shard}: shard is missing or damaged (could not verify page")
        assert str(caught.value).endswith("make it again (row 'b', or one of those stored with it)")


def put_in_place(file: Path, shard: Path) -> None:
    """A file where a shard was, as if it had the size that was recorded."""
    shutil.copy(file, shard)
    corpus = shard.with_name("corpus.json")
    corpus.write_text(json.dumps(json.loads(corpus.read_text()) | {"files": {}}))


def two_corpora(root: Path, png: Encode, **changes: tuple[Any, Any]) -> list[Path]:
    """Of the same six pictures, but for what changes in the source, or the size of a shard."""
    folders, image = [root / "c", root / "other"], png(np.zeros((64, 64), np.uint8))
    for place, folder in enumerate(folders):
        own = {name: both[place] for name, both in changes.items()}
        shard_mb = own.pop("shard_mb", 256)
        pack(replace(source_of([*"abcdef"], lambda i: image), **own), Store.at(folder), shard_mb=shard_mb)
    return folders


def test_a_shard_of_another_corpus_is_refused(tmp_path: Path, png: Encode) -> None:
    corpus, other = two_corpora(tmp_path, png, fingerprint=("c", "other"))
    put_in_place(other / "rows-00000.parquet", corpus / "rows-00000.parquet")
    with pytest.raises(StorageError, match=r"c/rows-00000.parquet: is a shard of another corpus"):
        Corpus.open(str(corpus))


def test_another_file_in_the_place_of_a_shard_is_refused(tmp_path: Path, png: Encode) -> None:
    corpus, _ = two_corpora(tmp_path, png)
    put_in_place(corpus / "quarantine.parquet", corpus / "rows-00000.parquet")
    with pytest.raises(StorageError, match=r"has no column 'group': it holds something else"):
        Corpus.open(str(corpus))


def test_shards_of_the_same_source_with_other_rows_are_refused(tmp_path: Path, png: Encode) -> None:
    corpus, other = two_corpora(tmp_path, png, shard_mb=(1e-6, 256))
    put_in_place(other / "rows-00000.parquet", corpus / "rows-00000.parquet")
    with pytest.raises(CorpusError, match=r"the shards hold 11 rows, and corpus.json says 6; build the"):
        Corpus.open(str(corpus))


def test_a_shard_that_is_missing_or_damaged_is_named(tmp_path: Path, phantom_url: str) -> None:
    shutil.copytree(phantom_url, tmp_path / "c")
    corpus = Corpus.open(str(tmp_path / "c"))
    first, second = (tmp_path / "c" / name for name in corpus.info.shards[:2])
    whole = first.read_bytes()
    first.write_bytes(whole[:5000] + bytes(len(whole) - 5000))
    with pytest.raises(
        StorageError, match=r"rows-00000.parquet: shard is missing or damaged \(.*\); make it again"
    ):
        corpus.read("phantom-000000")
    second.unlink()
    first.write_bytes(whole[:-1])
    with pytest.raises(StorageError, match=r"rows-00000.parquet: has \d+ bytes, \d+ were written, so it is"):
        Corpus.open(str(tmp_path / "c"))
    first.write_bytes(whole)
    with pytest.raises(StorageError, match=r"rows-00001.parquet: is missing, so it is damaged"):
        Corpus.open(str(tmp_path / "c"))


def test_a_bucket_that_stops_to_answer_is_told_with_the_row(
    phantom_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the client of S3 raises is no OSError, and the shard is not damaged."""

    def read(self: object, group: int, columns: list[str]) -> None:
        raise EndpointConnectionError(endpoint_url="http://10.0.0.1")

    corpus = Corpus.open(phantom_url)
    name = corpus.ids("train")[0]
    monkeypatch.setattr(pq.ParquetFile, "read_row_group", read)
    with pytest.raises(Unreachable, match=rf"^/.*: Could not connect.*; check .* .row '{name}'"):
        corpus.read(name)


def test_memory_holds_a_few_row_groups_however_large_the_corpus(tmp_path: Path, png: Encode) -> None:
    """1,000 rows of 20 kB (20 MB) take no more memory than 250: four row groups of 32 rows."""

    def most_held(rows: int) -> int:
        rng = np.random.default_rng(0)
        image = [png(rng.integers(0, 256, (144, 144), np.uint8)) for _ in range(50)]
        store = Store.at(tmp_path / str(rows))
        info = pack(source_of([f"{i:04d}" for i in range(rows)], lambda i: image[i % 50]), store, shard_mb=3)
        assert len(info.shards) == -(-rows // 150)
        corpus, count, most = Corpus.open(store), 0, 0
        names = corpus.ids("train")
        gc.collect()
        before = pa.total_allocated_bytes()
        tracemalloc.start()
        for sample in corpus.rows(names):
            assert sample.image.shape == (144, 144, 1)
            count += 1
            most = max(most, pa.total_allocated_bytes() - before + tracemalloc.get_traced_memory()[0])
        tracemalloc.stop()
        assert count == rows
        return most

    few, many = most_held(250), most_held(1000)
    assert many < 1.1 * few < 6 * 32 * 21_000
