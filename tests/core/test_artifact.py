from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from framework.core.artifact import (
    FILE,
    ArtifactSpec,
    Input,
    add_file,
    finish,
    input_of,
    is_finished,
    read_file,
    read_record,
)
from framework.core.errors import StorageError
from framework.core.storage import Store

FILES = ("rows-1.parquet", "recipes/a.yaml")
SPEC = ArtifactSpec("layer", {"corpus": Input("/data/corpus", "h")}, {"a": 1})


@pytest.fixture(params=["local", "s3"])
def made(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """A finished artifact of two files, one in a folder of its own."""
    local = request.param == "local"
    store = Store.at(tmp_path / "made" if local else f"{request.getfixturevalue('s3')}/{tmp_path.name}/made")
    store.write_bytes("rows-1.parquet", b"rows")
    store.write_bytes("recipes/a.yaml", b"a: 1")
    store.write_bytes("notes.txt", b"the user's own")
    finish(store, SPEC, {"rows": 1}, 0.0, folders=["recipes"])
    return store


def test_an_artifact_names_its_files_with_sizes_and_hashes(made: Store) -> None:
    hashes = {name: hashlib.sha256(made.read_bytes(name)).hexdigest() for name in FILES}
    assert read_record(made)["files"] == {name: f"4 {hash[:32]}" for name, hash in hashes.items()}
    assert read_file(made, "rows-1.parquet") == b"rows"
    assert is_finished(made, SPEC)


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_missing_or_of_another_size_is_named(made: Store, name: str) -> None:
    made.write_bytes(name, b"longer than it was")
    with pytest.raises(
        StorageError, match=rf"{name}: has 18 bytes, 4 were written, so it is damaged; put it back"
    ):
        is_finished(made, SPEC)
    made.remove(name)
    with pytest.raises(StorageError, match=rf"{name}: is missing, so it is damaged; .* or delete {made.url}"):
        input_of(made, "layer")


def test_a_flipped_bit_is_found_where_the_file_is_read(made: Store) -> None:
    made.write_bytes("rows-1.parquet", b"rowt")
    assert is_finished(made, SPEC)
    with pytest.raises(StorageError, match=r"rows-1.parquet: is not what was written, so it is damaged"):
        read_file(made, "rows-1.parquet")


def test_a_file_that_came_later_is_recorded(made: Store) -> None:
    made.write_bytes("quality.json", b"{}")
    add_file(made, "quality.json")
    made.write_bytes("quality.json", b"null")
    with pytest.raises(StorageError, match=r"quality.json: has 4 bytes, 2 were written"):
        read_record(made)


def test_an_artifact_of_an_earlier_version_is_opened(made: Store) -> None:
    record = made.read_json(FILE)
    del record["files"], record["seal"]
    made.write_json(FILE, record)
    made.remove("rows-1.parquet")
    assert is_finished(made, SPEC)


@pytest.mark.parametrize("key", ["kind", "hash", "counts", "inputs", "files", "machine"])
def test_a_record_that_was_changed_is_not_what_was_written(made: Store, key: str) -> None:
    record = made.read_json(FILE)
    made.write_json(FILE, record | {key: type(record[key])()})
    with pytest.raises(StorageError, match=r"artifact.json: is not what was written, so it is damaged"):
        read_record(made)


def test_the_line_of_a_file_has_a_form(made: Store) -> None:
    made.write_json(FILE, made.read_json(FILE) | {"files": {"rows-1.parquet": ""}})
    with pytest.raises(StorageError, match=r"not of its form \(files.rows-1.parquet: String should match"):
        read_record(made)


TIMELESS = '{"kind": "layer", "hash": "h", "inputs": {}, "counts": {}, "seconds": null}'


@pytest.mark.parametrize("content", ["[]", "{}", "null", '{"kind": ', "\0", '{"kind": 1}', TIMELESS])
def test_a_damaged_record_is_named(made: Store, content: str) -> None:
    made.write_text(FILE, content)
    for read in (lambda: is_finished(made, SPEC), lambda: input_of(made, "layer")):
        with pytest.raises(StorageError, match=r"artifact.json: not .*; the file is damaged"):
            read()


def test_the_record_of_many_files_stays_small(tmp_path: Path) -> None:
    store = Store.at(tmp_path)
    for place in range(200):
        (tmp_path / f"rows-{place:016x}.parquet").write_bytes(b"x")
    finish(store, SPEC, {}, 0.0)
    assert store.sizes()[FILE] < 200 * 90 + 1000
    assert len(json.loads((tmp_path / FILE).read_text())["files"]) == 200
