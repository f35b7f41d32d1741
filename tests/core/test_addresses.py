"""What a relative path is relative to, here and in a job that was submitted to a cluster."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from framework.core.addresses import STORAGE
from framework.core.errors import StorageError
from framework.core.storage import Store


@pytest.mark.parametrize("storage", ["s3://bucket/team/", "/mnt/team", "~/team"])
def test_a_relative_path_lies_below_the_storage_of_the_job(
    storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.setenv(STORAGE, storage)
    root = storage.replace("~", "/home/somebody").rstrip("/")
    assert Store.at("runs/./first/").url == f"{root}/runs/first"
    assert Store.at(".").url == root
    assert Store.at("/data/corpus").url == "/data/corpus"
    assert Store.at("~/corpus").url == "/home/somebody/corpus"
    assert Store.at("s3://other/corpus").url == "s3://other/corpus"


def test_a_relative_path_stays_below_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(STORAGE, "s3://bucket/team")
    with pytest.raises(StorageError, match=r"'a/../../b': leads out of s3://bucket/team, to which SCANTSEG"):
        Store.at("a/../../b")


@pytest.mark.parametrize(
    ("storage", "reason"),
    [
        ("runs", r"SCANTSEG_STORAGE 'runs': a relative path itself; set it to an absolute path, s3://"),
        ("ftp://host/x", "storage 'ftp://' is not known; use a local path, s3://bucket/folder or gs"),
        ("s3://KEY:word@bucket", r"'s3://\*\*\*@bucket': an address with a user, a key or a signature"),
    ],
)
def test_a_storage_that_is_no_address_is_named(
    storage: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(STORAGE, storage)
    with pytest.raises(StorageError, match=reason):
        Store.at("runs")


def test_a_relative_path_where_ray_deletes_it_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a job whose working directory was uploaded."""
    working_dir = importlib.import_module("ray._private.runtime_env.working_dir")

    plugin = working_dir.WorkingDirPlugin(str(tmp_path / "runtime_resources"), None)
    unpacked = Path(plugin._get_directory_on_node("gcs://_ray_pkg_0123456789abcdef.zip"))
    (unpacked / "configs").mkdir(parents=True)
    monkeypatch.chdir(unpacked / "configs")
    with pytest.raises(
        StorageError, match=r"^'runs': a relative path in the working directory of a Ray job,"
    ):
        Store.at("runs")
    assert Store.at("/data").url == "/data"
    monkeypatch.setenv(STORAGE, "s3://bucket")
    assert Store.at("runs").url == "s3://bucket/runs"
