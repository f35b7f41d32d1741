from __future__ import annotations

import subprocess
import sys
import time
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from framework.core import lock as locks
from framework.core.errors import StorageError
from framework.core.filesystems import bucket_of
from framework.core.lock import Claim, lock, require_lock
from framework.core.storage import Store

HOLDER = """
import sys, time
from framework.core.lock import lock
from framework.core.storage import Store
with lock(Store.at(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture(params=["s3", "gs"])
def bucket(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return Store.at(request.getfixturevalue(request.param)) / tmp_path.name


def test_a_folder_in_work_is_not_entered_twice(tmp_path: Path) -> None:
    store = Store.at(tmp_path / "run")
    with (
        lock(store),
        pytest.raises(StorageError, match="run: another process is at work here; wait for it"),
        lock(store),
    ):
        pass
    with lock(store):
        assert store.names() == []


@pytest.mark.parametrize("place", ["local", "bucket"])
def test_a_killed_process_lets_go_of_its_folder(place: str, tmp_path: Path, bucket: Store) -> None:
    store = Store.at(tmp_path / "run") if place == "local" else bucket
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, store.url], stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        with pytest.raises(StorageError, match="is at work here"), lock(store):
            pass
        holder.kill()
        holder.wait()
    with lock(store) as held:
        require_lock(held)


def test_a_folder_in_a_bucket_is_claimed(bucket: Store) -> None:
    with lock(bucket, "recipe") as held:
        require_lock(held)
        with pytest.raises(StorageError) as caught, lock(bucket, "other"):
            pass
        assert "is at work here on something else; wait for it, or choose another" in str(caught.value)
        assert str(caught.value).endswith("(killed, it loses its claim after 120 s of silence)")
    assert bucket.names() == []


def test_a_silent_claim_of_another_machine_is_taken_over(
    bucket: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As two machines see it: the first stops at its next checkpoint, and the second's claim stays."""
    monkeypatch.setattr(locks.socket, "gethostname", lambda: "one")
    first, second = lock(bucket, "recipe"), lock(bucket, "recipe")
    mine = first.__enter__()
    monkeypatch.setattr(locks.socket, "gethostname", lambda: "two")
    with pytest.raises(StorageError, match=r"process \d+ on one .* is at work here; wait"):
        lock(bucket, "recipe").__enter__()
    monkeypatch.setattr(locks, "SILENT", -1.0)
    theirs = second.__enter__()
    with pytest.raises(StorageError, match=r"taken over by process \d+ on two .* this one stops"):
        require_lock(mine)
    with pytest.raises(StorageError, match="taken over by process"):
        first.__exit__(None, None, None)
    require_lock(theirs)
    second.__exit__(None, None, None)
    assert bucket.names() == []


def test_a_later_attempt_at_a_job_takes_its_folder_at_once(
    bucket: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The driver of the first is lost with its host, or cut off and still at work."""

    def attempt(host: str, job: str, number: int) -> AbstractContextManager[Store]:
        monkeypatch.setattr(locks.socket, "gethostname", lambda: host)
        monkeypatch.setenv(locks.JOB, job)
        monkeypatch.setenv(locks.ATTEMPT, str(number))
        return lock(bucket, "recipe")

    first = attempt("one", "job-7", 1)
    mine = first.__enter__()
    for job, number in (("job-8", 2), ("job-7", 1), ("", 0)):
        with pytest.raises(
            StorageError, match=r"on one \(since .*, attempt 1 of job job-7\) is at work here"
        ):
            attempt("two", job, number).__enter__()
    second = attempt("two", "job-7", 2)
    theirs = second.__enter__()
    with pytest.raises(StorageError, match=r"on two .* attempt 2 of job job-7\), which is a later attempt"):
        require_lock(mine)
    with pytest.raises(StorageError, match="taken over by process"):
        first.__exit__(None, None, None)
    require_lock(theirs)
    with pytest.raises(StorageError, match="attempt 2 of job job-7"):
        attempt("one", "job-7", 1).__enter__()
    second.__exit__(None, None, None)
    assert bucket.names() == []


def test_a_later_attempt_wins_though_the_older_one_renews_its_claim(
    bucket: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = bucket_of(bucket.url)
    old = Claim(recipe="r", attempt="a", host="one", process=7, started="", job="job-7", number=1)
    bucket.write_bytes(locks.FILE, old.data)
    replace, tried = kind.replace, []

    def late(path: str, tag: str, data: bytes) -> bool:
        tried.append(tag)
        if len(tried) == 1:
            bucket.write_text(locks.FILE, old.model_dump_json())  # other bytes, and so another tag
        return replace(path, tag, data)

    monkeypatch.setattr(kind, "replace", late)
    monkeypatch.setenv(locks.JOB, "job-7")
    monkeypatch.setenv(locks.ATTEMPT, "2")
    with lock(bucket) as held:
        require_lock(held)
    assert len(tried) == 2


def test_a_claim_is_renewed_while_the_work_goes_on(bucket: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    kind = bucket_of(bucket.url)
    monkeypatch.setattr(locks, "RENEWED", 0.05)
    with lock(bucket):
        _, first = kind.tag_of(bucket.path(locks.FILE))
        end = time.monotonic() + 10
        while kind.tag_of(bucket.path(locks.FILE))[1] == first:
            assert time.monotonic() < end, "the claim was not renewed"
            time.sleep(0.1)


def test_of_many_that_come_at_once_one_has_the_folder(bucket: Store) -> None:
    from concurrent.futures import ThreadPoolExecutor
    from threading import Barrier

    together, entered = Barrier(6), []

    def come(number: int) -> None:
        together.wait()
        try:
            with lock(bucket):
                entered.append(number)
                together.wait()
        except StorageError:
            together.wait()

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(come, range(6)))
    assert len(entered) == 1


def test_a_damaged_claim_is_named(bucket: Store) -> None:
    bucket.write_text("claim.json", "[]")
    with pytest.raises(StorageError, match=r"claim.json: not of its form"), lock(bucket):
        pass


def test_a_bucket_that_is_not_there_is_named(s3: str) -> None:
    with (
        pytest.raises(StorageError, match=r"no such bucket|bucket"),
        lock(Store.at("s3://no-such-bucket/run")),
    ):
        pass
