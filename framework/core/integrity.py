"""Sizes and hashes of finished files: what was written, and whether it still is what was written.

Sizes are compared whenever something finished is opened, by one listing. Hashes are compared where a file is
read whole, such as a model's weights, and of everything by `verify`; pages of Parquet have checksums.
"""

import hashlib
from collections.abc import Iterable
from typing import Annotated

from pydantic import Field

from framework.core.errors import StorageError
from framework.core.storage import Store

Files = dict[str, Annotated[str, Field(pattern=r"^\d+ [0-9a-f]{32}$")]]
"""By name below a folder, `SIZE HASH`: bytes, and the first 32 digits of the SHA-256."""

CHUNK = 2**20


def described(store: Store, names: Iterable[str]) -> Files:
    """What some files are now; they are read once."""
    return {name: _described(store, name) for name in names}


def require_sizes(store: Store, files: Files) -> None:
    """Raise `StorageError` for a file that is missing or has another size."""
    folders = {name.rpartition("/")[0] for name in files}
    sizes = {
        f"{folder}/{name}".lstrip("/"): size
        for folder in folders
        for name, size in (store / folder if folder else store).sizes().items()
    }
    for name, written in files.items():
        size = written.split()[0]
        if name not in sizes:
            raise damaged(store, name, "is missing")
        if str(sizes[name]) != size:
            raise damaged(store, name, f"has {sizes[name]} bytes, {size} were written")


def require_hash(store: Store, name: str, files: Files) -> None:
    """Raise `StorageError` where a file is not what was written; reads it whole."""
    if _described(store, name) != files[name]:
        raise damaged(store, name, "is not what was written")


def read_whole(store: Store, name: str, files: Files) -> bytes:
    """A file's bytes; raises `StorageError` where they are not what was written."""
    data = store.read_bytes(name)
    if name in files and _line(len(data), hashlib.sha256(data)) != files[name]:
        raise damaged(store, name, "is not what was written")
    return data


def damaged(store: Store, name: str, fault: str) -> StorageError:
    mend = f"put it back as it was, or delete {store.url} and make it again"
    return StorageError(f"{store.url}/{name}: {fault}, so it is damaged; {mend}")


def _described(store: Store, name: str) -> str:
    size, digest = 0, hashlib.sha256()
    with store.explained(name), store.filesystem.open_input_stream(store.path(name)) as file:
        while chunk := file.read(CHUNK):
            size += len(chunk)
            digest.update(chunk)
    return _line(size, digest)


def _line(size: int, digest: "hashlib._Hash") -> str:
    return f"{size} {digest.hexdigest()[:32]}"
