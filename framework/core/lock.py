"""One process at a time in a folder: the kernel's lock on a disk, in a bucket a claim that is renewed."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime

from framework.core.errors import StorageError
from framework.core.filesystems import bucket_of
from framework.core.settings import Settings
from framework.core.storage import Store

FILE = "claim.json"
RENEWED = 15.0
"""Seconds after which a claim is renewed."""
JOB, ATTEMPT = "SCANTSEG_JOB", "SCANTSEG_ATTEMPT"
"""Environment variables of a job that was submitted to a cluster: its id, and which attempt this one is."""
SILENT = 120.0
"""Seconds without renewal after which a claim may be taken over: its owner was killed, or has no network."""


class Claim(Settings):
    """What `claim.json` holds: who is at work in a folder."""

    recipe: str
    """Hash of what is made there."""
    attempt: str
    host: str
    process: int
    started: str
    job: str = ""
    """The submitted job that its process is of, whichever attempt at it."""
    number: int = 0
    """Of that attempt."""

    def follows(self, other: Claim) -> bool:
        """Whether it is of a later attempt at the same job, which was begun as the other's is given up."""
        return bool(self.job) and self.job == other.job and self.number > other.number

    @property
    def is_dead(self) -> bool:
        """Its process was on this machine, and ended without letting go."""
        if self.host != socket.gethostname():
            return False
        try:
            os.kill(self.process, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            return False  # another user's
        return False

    @property
    def data(self) -> bytes:
        return self.model_dump_json(indent=2).encode()


@contextlib.contextmanager
def lock(store: Store, recipe: str = "") -> Iterator[Store]:
    """Keep other processes out of a folder; gives it as `require_lock` takes it, `StorageError` for them.

    `recipe` is the hash of what is made there. On a local disk other processes of this machine are kept out,
    and the kernel lets go when this one ends, even if it is killed. In a bucket other machines are too: a
    killed owner's claim is taken over at once on its own machine and by a later attempt at the same job, and
    after `SILENT` seconds by others.
    """
    store.require_writable()
    with _kernel_lock(store) if store.is_local else _claim(store, recipe) as held:
        yield held


def require_lock(store: Store) -> None:
    """Raise `StorageError` where another took a claimed folder over: to be called before others read what is
    written there. Nothing happens without a claim, as on a local disk."""
    if store.attempt and not _is_mine(store):
        reason = f"which is a later attempt, or this process was silent for {SILENT:.0f} s"
        stops = "this one stops, and the other goes on from what is there"
        raise StorageError(f"{store.url}: taken over by {_owner(store)}, {reason}; {stops}")


@contextlib.contextmanager
def _kernel_lock(store: Store) -> Iterator[Store]:
    import fcntl

    with contextlib.ExitStack() as stack:
        folder = os.open(store.path(), os.O_RDONLY)
        stack.callback(os.close, folder)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            mend = "wait for it, or choose another name"
            raise StorageError(f"{store.url}: another process is at work here; {mend}") from None
        yield store


@contextlib.contextmanager
def _claim(store: Store, recipe: str) -> Iterator[Store]:
    started = datetime.now(UTC).isoformat(timespec="seconds")
    host, process, attempt = socket.gethostname(), os.getpid(), uuid.uuid4().hex
    job = {"job": os.environ.get(JOB, ""), "number": int(os.environ.get(ATTEMPT, 0))}
    claim = Claim(recipe=recipe, attempt=attempt, host=host, process=process, started=started, **job)
    _take(store, claim)
    held, ended = Store(store.url, attempt), threading.Event()
    renewing = threading.Thread(target=_renew, args=(held, claim, ended), daemon=True)
    renewing.start()
    try:
        yield held
        require_lock(held)
    finally:
        ended.set()
        renewing.join()
        with contextlib.suppress(StorageError):  # a claim that stays is taken over when it is silent
            if _is_mine(held):
                held.remove(FILE)


def _take(store: Store, claim: Claim) -> None:
    """Write the claim where none is, or over one whose owner is gone; `StorageError` for a live one's."""
    bucket, path = bucket_of(store.url), store.path(FILE)
    with store.explained(FILE):
        if bucket.create(path, claim.data):
            return
        tag, renewed = bucket.tag_of(path)
        other, silent = _read(store), (_server_time(store) - renewed).total_seconds()
        if other is not None and other.attempt == claim.attempt:
            return  # the answer was lost, and the request sent again
        gone = other is None or other.is_dead or claim.follows(other) or silent > SILENT
        if gone and (bucket.replace(path, tag, claim.data) or _is_mine(Store(store.url, claim.attempt))):
            return
    if other is not None and claim.follows(other):
        return _take(store, claim)  # it was renewed just then
    another = "" if other is None or other.recipe == claim.recipe else " on something else"
    mend = f"wait for it, or choose another name (killed, it loses its claim after {SILENT:.0f} s of silence)"
    raise StorageError(f"{store.url}: {_owner(store)} is at work here{another}; {mend}")


def _renew(store: Store, claim: Claim, ended: threading.Event) -> None:
    """Write the claim again and again, until the work ends or another has taken it."""
    bucket, path = bucket_of(store.url), store.path(FILE)
    while not ended.wait(RENEWED):
        with contextlib.suppress(StorageError), store.explained(FILE):  # no network now: the next may pass
            tag, _ = bucket.tag_of(path)
            if not _is_mine(store):
                return
            bucket.replace(path, tag, claim.data)


def _read(store: Store) -> Claim | None:
    return store.read_json(FILE, Claim) if store.exists(FILE) else None


def _is_mine(store: Store) -> bool:
    claim = _read(store)
    return claim is not None and claim.attempt == store.attempt


def _owner(store: Store) -> str:
    claim = _read(store)
    if claim is None:
        return "another process, which has ended since,"
    attempt = f", attempt {claim.number} of job {claim.job}" if claim.job else ""
    return f"process {claim.process} on {claim.host} (since {claim.started}{attempt})"


def _server_time(store: Store) -> datetime:
    """By the clock that also dates claims."""
    store.write_bytes(".writable", b"")
    _, now = bucket_of(store.url).tag_of(store.path(".writable"))
    store.remove(".writable")
    return now
