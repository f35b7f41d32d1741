from __future__ import annotations

import errno
import gc
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from framework.core import s3 as s3_module
from framework.core.errors import StorageError
from framework.core.settings import Settings
from framework.core.storage import Store


@pytest.fixture(params=["local", "s3", "gs"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "local":
        return Store.at(tmp_path / "folder")
    return Store.at(request.getfixturevalue(request.param)) / tmp_path.name


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The port of a server that takes connections and says nothing, and short waits for it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        monkeypatch.setattr(s3_module, "TIMEOUT", 0.2)
        s3_module.connect.cache_clear()
        yield port
    s3_module.connect.cache_clear()


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
    assert (Store.at("gs://bucket/a/") / "b").path("c") == "bucket/a/b/c"
    assert (
        Store.at(tmp_path).is_local
        and not Store.at("gs://bucket").is_local
        and not Store.at("s3://bucket").is_local
    )


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        (
            "ftp://host/x",
            "storage 'ftp://' is not known; use a local path, s3://bucket/folder or gs://bucket",
        ),
        ("gs://", "names no bucket; use gs://bucket/folder"),
        ("s3://", "names no bucket; use s3://bucket/folder"),
        ("s3://AKIA:ab/cd@bucket/x", r"'s3://\*\*\*@bucket/x': an address with a user, a key or a signature"),
        ("https://user:hidden@host/x", r"'https://\*\*\*@host/x': an address with a user"),
        ("s3://b/x?X-Amz-Signature=hidden&v=1", r"'s3://b/x\?X-Amz-Signature=\*\*\*&v=1': an address with"),
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


def test_folders_and_pages_of_a_bucket_are_listed(gs: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store.at(gs) / "listed"
    for name in ("a", "b/c", "b/d/e", "f/g"):
        store.write_text(name, name)
    monkeypatch.setattr("tests.google_storage.PAGE", 1)
    assert (store.names(), store.folders()) == (["a", "b", "f"], ["b", "f"])
    assert [each.url for each in store.holders("c", "e")] == [f"{store.url}/b", f"{store.url}/b/d"]
    assert "listed" in Store.at(gs).names()
    store.remove("b")
    assert store.names() == ["a", "f"]


def test_a_write_that_fails_on_google_s_storage_publishes_nothing(gs: str) -> None:
    store = Store.at(gs) / "aborted"
    store.write_text("a", "old")
    with pytest.raises(ZeroDivisionError), store.atomic_writer("a") as file:
        file.write(b"0" * 2**20)
        raise ZeroDivisionError
    gc.collect()
    assert (store.read_text("a"), store.names()) == ("old", ["a"])


def test_google_s_answers_are_one_line(gs: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.google_storage.FAULT", 403)
    with pytest.raises(StorageError, match=r"gs://scans/x/a: permission denied \(403 .*check owner, mode"):
        (Store.at(gs) / "x").read_bytes("a")
    monkeypatch.setattr("tests.google_storage.FAULT", 400)
    with pytest.raises(StorageError, match=r"gs://scans/x/a: 400 .*; check credentials \(GOOGLE_APPLICATION"):
        (Store.at(gs) / "x").write_text("a", "")


def test_google_s_credentials_that_are_not_there_are_said() -> None:
    """In a process of its own, without an account of the machine."""
    none = {"HOME": "/nowhere", "NO_GCE_CHECK": "true", "CLOUDSDK_CONFIG": "/nowhere"}
    code = "from framework.core.storage import Store; Store.at('gs://bucket/x').exists('corpus.json')"
    kept = {key: value for key, value in os.environ.items() if key != "STORAGE_EMULATOR_HOST"}
    ended = subprocess.run(
        [sys.executable, "-c", code], env=kept | none, capture_output=True, text=True, timeout=60
    )
    assert "StorageError: gs://bucket/x/corpus.json: " in ended.stderr
    assert ended.stderr.strip().endswith("or the node's account) and network")


@pytest.mark.parametrize("size", [10, 60 * 2**20], ids=["at once", "in parts"])
def test_a_write_that_fails_on_s3_publishes_nothing(size: int, s3: str) -> None:
    import boto3

    store = Store.at(f"{s3}/aborted-{size}")
    store.write_text("a", "old")
    with pytest.raises(ZeroDivisionError), store.atomic_writer("a") as file:
        file.write(b"0" * size)
        raise ZeroDivisionError
    gc.collect()
    assert store.read_text("a") == "old"
    assert "Uploads" not in boto3.client("s3").list_multipart_uploads(Bucket="scans")


def test_an_endpoint_that_never_answers_is_named(silent: int) -> None:
    begun = time.monotonic()
    with pytest.raises(StorageError) as caught:
        Store.at("s3://bucket/x").exists("corpus.json")
    said = str(caught.value)
    assert said.startswith("s3://bucket/x/corpus.json: ") and f"http://127.0.0.1:{silent}" in said
    assert said.endswith("; check credentials, network and AWS_ENDPOINT_URL")
    assert time.monotonic() - begun < s3_module.S3.retries * (s3_module.TIMEOUT + 1) + 1


def test_the_waits_for_an_endpoint_end_within_half_a_minute() -> None:
    assert s3_module.S3.retries * s3_module.TIMEOUT <= 25


def test_what_is_written_is_its_owner_s_alone(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    store = Store.at(tmp_path / "runs" / "mine")
    store.write_text("cases.csv", "p01")
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("", "runs", "runs/mine")] == [
        0o755,
        0o700,
        0o700,
    ]
    assert (tmp_path / "runs" / "mine" / "cases.csv").stat().st_mode & 0o777 == 0o600


class Point(Settings):
    x: int


@pytest.mark.parametrize("content", ["[]", "{}", "null", '{"x": ', '{"x": "a"}', "[" * 100_000, "\xff"])
def test_a_json_file_of_another_shape_is_named(content: str, tmp_path: Path) -> None:
    store = Store.at(tmp_path)
    store.write_bytes("a.json", content.encode("latin-1"))
    with pytest.raises(StorageError, match=r"a.json: not .*; the file is damaged") as caught:
        store.read_json("a.json", Point)
    assert "\n" not in str(caught.value)


def test_text_that_is_not_utf_8_is_named(tmp_path: Path) -> None:
    store = Store.at(tmp_path)
    store.write_bytes("a", b"\xff\xfe")
    with pytest.raises(StorageError, match="/a: not UTF-8 text; the file is damaged"):
        store.read_text("a")


def test_a_file_name_that_is_not_utf_8_is_said(tmp_path: Path) -> None:
    (Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))).write_text("")
    with pytest.raises(StorageError, match="a name here is not UTF-8; rename that file or folder"):
        Store.at(tmp_path).names()


def test_a_full_disk_is_said(tmp_path: Path) -> None:
    said = pytest.raises(StorageError, match="a: No space left on device; make room there")
    with said, Store.at(tmp_path).atomic_writer("a"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_folder_where_a_file_should_be_is_said(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    for work in (Store.at(tmp_path).read_bytes, lambda name: Store.at(tmp_path).write_text(name, "")):
        with pytest.raises(StorageError, match=r"/a: .*directory"):
            work("a")


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
