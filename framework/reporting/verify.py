"""Whether finished artifacts and corpora are, bit for bit, what was written."""

from collections.abc import Iterator, Sequence

from framework.core import artifact
from framework.core.artifact import read_record
from framework.core.errors import ScantsegError, StorageError
from framework.core.integrity import Files, require_hash, require_sizes
from framework.core.storage import Store
from framework.corpus.schema import CORPUS_FILE, CorpusInfo


def verify(folders: Sequence[Store]) -> Iterator[str]:
    """A line for all that is in some folders, at any depth; reads all files.

    At the end raises `StorageError` where something is damaged, or nothing was there.
    """
    stores = [store for folder in folders for store in folder.holders(artifact.FILE, CORPUS_FILE)]
    if not stores:
        where = ", ".join(folder.url for folder in folders)
        raise StorageError(f"{where}: no finished artifact or corpus here or below; check the path")
    faults = 0
    for store in stores:
        try:
            yield _verified(store)
        except ScantsegError as error:
            faults += 1
            yield f"damaged: {error}"
    if faults:
        raise StorageError(f"{faults} of {len(stores)} are damaged; the lines above say what to do")


def _verified(store: Store) -> str:
    """What is there; raises `StorageError` for the first file that is not as it was written."""
    kind, files = _recorded(store)
    if not files:
        return f"unknown: {kind} {store.url} (of an earlier version, which recorded no sizes and hashes)"
    require_sizes(store, files)
    for name in files:
        require_hash(store, name, files)
    size = sum(int(line.split()[0]) for line in files.values())
    return f"whole: {kind} {store.url} ({len(files)} files, {size / 1e6:.1f} MB)"


def _recorded(store: Store) -> tuple[str, Files]:
    if store.exists(artifact.FILE):
        record = read_record(store)
        return record["kind"], record["files"]
    return "corpus", CorpusInfo.read(store).files
