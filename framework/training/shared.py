"""Whether all hosts of a run see the same files: a local path may be on a disk of each host's own."""

import contextlib
import socket
from collections.abc import Iterator, Mapping

from framework.core import artifact
from framework.core.artifact import Input, read_record
from framework.core.distributed import gather_objects
from framework.core.errors import ScantsegError, StorageError
from framework.core.storage import Store
from framework.corpus.schema import CorpusInfo

MARK = "driver"
"""The file of a run's folder that says, while the run goes on, who drives it."""
MEND = "use s3://…, gs://…, or a mount that all nodes share"
OWN_DISK = f"a local path is a disk of each host's own; {MEND}"

Unseen = tuple[str, list[str]]
"""A rank's host, and the paths that it does not see as the driver does."""


@contextlib.contextmanager
def marked(store: Store, word: str) -> Iterator[None]:
    """During the block a word that nobody else knows stands in the run's folder, if that is a local path:
    whoever reads it there shares the folder."""
    if not store.is_local:
        yield
        return
    store.write_text(MARK, word)
    try:
        yield
    finally:
        store.remove(MARK)


def require_shared(store: Store, word: str, inputs: Mapping[str, Input]) -> None:
    """Raise `StorageError`, on all ranks, where the host of one does not see the run's folder, marked with
    that word, or what the run reads. A collective call."""
    faults = told(gather_objects((socket.gethostname(), unseen(store, word, inputs))))
    if faults:
        raise StorageError(f"{faults}: {OWN_DISK}")


def unseen(store: Store, word: str, inputs: Mapping[str, Input]) -> list[str]:
    """The local paths that this host does not see as the driver does. Copies of what is read may do."""
    paths = [] if not store.is_local or _mark(store) == word else [store.url]
    local = {made.path: made.hash for made in inputs.values() if Store(made.path).is_local}
    return paths + [path for path, hash in local.items() if _hash(Store(path)) != hash]


def told(ranks: list[Unseen]) -> str:
    """A clause for each host that does not see something, "" where all see all."""
    lacking = {host: paths for host, paths in ranks if paths}
    return "; ".join(f"host {host} does not see {', '.join(paths)}" for host, paths in lacking.items())


def require_model(store: Store) -> None:
    """Raise `StorageError` where the driver does not see the model that its workers have written."""
    if not store.exists(artifact.FILE):
        fault = "the workers have finished, and no model is here: they wrote it to a disk of their own"
        raise StorageError(f"{store.url}: {fault}; {MEND}")


def _mark(store: Store) -> str:
    try:
        return store.read_text(MARK)
    except StorageError:
        return ""


def _hash(store: Store) -> str:
    """What an artifact that a run reads is known by, "" where there is none."""
    try:
        return read_record(store)["hash"] if store.exists(artifact.FILE) else CorpusInfo.read(store).version
    except ScantsegError:
        return ""
