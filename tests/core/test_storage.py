from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pyarrow as pa
import pytest

from framework.core.errors import StorageError
from framework.core.storage import Store


@pytest.fixture(params=["local", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "local":
        return Store.at(tmp_path / "folder")
    return Store.at(request.getfixturevalue("s3")) / tmp_path.name


def test_what_is_written_is_read(store: Store) -> None:
    table = pa.table({"a": [1, 2], "b": ["x", None]})
    store.write_bytes("bytes", b"\0\1")
    store.write_text("deeper/text", "Größe")
    store.write_json("json", {"a": [1, None]})
    store.write_table("table.parquet", table)
    assert store.read_bytes("bytes") == b"\0\1"
    assert (store / "deeper").read_text("text") == "Größe"
    assert store.read_json("json") == {"a": [1, None]}
    assert store.read_table("table.parquet").equals(table)
    assert store.names() == ["bytes", "deeper", "json", "table.parquet"]
    assert store.sizes()["bytes"] == 2
    assert "deeper" not in store.sizes()


def test_existence_and_removal(store: Store) -> None:
    assert not store.exists() and not store.exists("a")
    assert store.names() == [] and store.sizes() == {}
    store.write_bytes("a", b"")
    (store / "b").write_bytes("c", b"")
    assert store.exists("a") and (store / "b").exists()
    store.remove("a")
    store.remove("b")
    store.remove("never there")
    assert not store.exists("a") and not store.exists("b/c")


def test_a_file_that_is_not_there_is_named(store: Store) -> None:
    with pytest.raises(StorageError, match=f"{store.url}/absent: no such .*file.*; check the path"):
        store.read_bytes("absent")
    with pytest.raises(StorageError, match=r"absent.parquet"):
        store.read_table("absent.parquet")


def test_damaged_files_are_named(store: Store) -> None:
    store.write_bytes("a.json", b'{"a": ')
    store.write_bytes("a.parquet", b"PAR1 and no more")
    with pytest.raises(StorageError, match=r"a.json: not valid JSON .*; the file is damaged"):
        store.read_json("a.json")
    with pytest.raises(StorageError, match=r"a.parquet: not a readable Parquet file .*; the file is damaged"):
        store.read_table("a.parquet")


def test_a_place_that_can_be_written_is_left_as_it_was(store: Store) -> None:
    store.require_writable()
    assert store.names() == []


def test_addresses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/somebody")
    assert Store.at("a/../b").url == str(tmp_path / "b")
    assert Store.at("~/runs").url == "/home/somebody/runs"
    assert Store.at("s3://bucket/folder/").url == "s3://bucket/folder"
    assert (Store.at("s3://bucket") / "a" / "b").path("c") == "bucket/a/b/c"
    assert Store.at(Store("s3://bucket/x")).name == "x"
    assert Store.at(tmp_path).is_local and not Store.at("s3://bucket").is_local


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("gs://bucket/x", "storage 'gs://' is not known; use a local path or s3://bucket/folder"),
        ("s3://", "names no bucket; use s3://bucket/folder"),
    ],
)
def test_addresses_that_cannot_be(url: str, reason: str) -> None:
    with pytest.raises(StorageError, match=reason):
        Store.at(url)


@pytest.mark.parametrize("below", ["file/folder", "/proc/folder"])
def test_a_place_that_cannot_be_written_says_so(below: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError) as caught:
        Store.at(tmp_path / below).require_writable()
    assert str(caught.value).startswith(str(tmp_path / below))
    assert "check" in str(caught.value) and "\n" not in str(caught.value)


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    store = Store.at(tmp_path)
    store.write_text("a", "old")
    with pytest.raises(ZeroDivisionError), store.atomic_writer("a") as file:
        file.write(b"new")
        raise ZeroDivisionError
    assert (store.read_text("a"), store.names()) == ("old", ["a"])


def test_readers_see_the_old_content_or_the_new_one(tmp_path: Path) -> None:
    store, seen = Store.at(tmp_path), set()
    contents = {text * 100_000 for text in "abcdef"}
    store.write_text("a", "a" * 100_000)
    writers = [threading.Thread(target=store.write_text, args=("a", text)) for text in contents]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        seen.add(store.read_text("a"))
    assert seen <= contents
    assert store.names() == ["a"]


def test_a_bucket_that_is_not_there_is_named(s3: str) -> None:
    with pytest.raises(StorageError, match="s3://no-such-bucket/x/a"):
        Store.at("s3://no-such-bucket/x").read_bytes("a")
    with pytest.raises(StorageError, match="s3://no-such-bucket/x"):
        Store.at("s3://no-such-bucket/x").require_writable()


def test_missing_credentials_are_explained() -> None:
    """In a process of its own: s3fs remembers credentials and endpoints."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("AWS_")}
    none = {"AWS_EC2_METADATA_DISABLED": "true", "HOME": "/nowhere"}
    code = "from framework.core.storage import Store; Store.at('s3://bucket/x').exists('corpus.json')"
    ended = subprocess.run(
        [sys.executable, "-c", code], env=kept | none, capture_output=True, text=True, timeout=60
    )
    assert "framework.core.errors.StorageError: s3://bucket/x/corpus.json: " in ended.stderr
    assert ended.stderr.strip().endswith("; check credentials, network and AWS_ENDPOINT_URL")


HOLDER = """
import sys, time
from framework.core.storage import Store
with Store.at(sys.argv[1]).lock():
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_folder_in_work_is_not_entered_twice(tmp_path: Path) -> None:
    store = Store.at(tmp_path / "run")
    with (
        store.lock(),
        pytest.raises(StorageError, match="run: another process is at work here; wait for it"),
        store.lock(),
    ):
        pass
    with store.lock():
        assert store.names() == []


def test_a_killed_process_lets_go_of_its_folder(tmp_path: Path) -> None:
    store = Store.at(tmp_path / "run")
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, store.url], stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        with pytest.raises(StorageError, match="another process is at work"), store.lock():
            pass
        holder.kill()
        holder.wait()
    with store.lock():
        pass


def test_a_folder_on_s3_is_proven_writable(s3: str, tmp_path: Path) -> None:
    with (Store.at(s3) / tmp_path.name).lock():
        pass
    with (
        pytest.raises(StorageError, match=r"no such bucket|bucket"),
        Store.at("s3://no-such-bucket/run").lock(),
    ):
        pass
