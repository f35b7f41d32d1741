"""The file system of an address, and what a lock and a whole write need of a bucket beside it."""

from __future__ import annotations

from contextlib import AbstractContextManager
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem


class Bucket(Protocol):
    """A kind of object store, one module each; a path is `bucket/folder/file`."""

    def filesystem(self) -> FileSystem:
        """To read, list and remove by."""
        ...

    def upload(self, path: str) -> AbstractContextManager[Any]:
        """An output file whose object appears, whole, when the block ends well, and else not at all."""
        ...

    def create(self, path: str, data: bytes) -> bool:
        """Write an object where none is; False for all but the first who do so."""
        ...

    def replace(self, path: str, tag: str, data: bytes) -> bool:
        """Write an object anew if it is still the one with this tag; False where another came first."""
        ...

    def tag_of(self, path: str) -> tuple[str, datetime]:
        """An object's tag, and by the server's clock when it was written."""
        ...


def bucket_of(url: str) -> Bucket:
    """The kind of object store that an address is of."""
    if url.startswith("gs://"):
        from framework.core import gs

        return gs
    from framework.core import s3

    return s3


def filesystem_of(url: str) -> FileSystem:
    return _local() if "://" not in url else bucket_of(url).filesystem()


@lru_cache(maxsize=1)
def _local() -> FileSystem:
    from pyarrow.fs import LocalFileSystem

    return LocalFileSystem()
