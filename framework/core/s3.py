"""S3 as a `Store` needs it: waits that end, uploads that are aborted, and writes that only one can win."""

import contextlib
from collections.abc import Iterator
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import s3fs

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

TIMEOUT = 8.0
"""Seconds that an endpoint may be silent."""


class S3(s3fs.S3FileSystem):
    """Asks three times, so that an endpoint that never answers is told of within 30 s."""

    retries = 3


@lru_cache(maxsize=1)
def connect() -> S3:
    """The files of this process; AWS_ENDPOINT_URL is read, so that other vendors' endpoints work."""
    waits = {"connect_timeout": TIMEOUT, "read_timeout": TIMEOUT, "retries": {"total_max_attempts": 1}}
    return S3(use_listings_cache=False, config_kwargs=waits)


def filesystem() -> "FileSystem":
    """To read, list and remove by."""
    from pyarrow.fs import FSSpecHandler, PyFileSystem

    return PyFileSystem(FSSpecHandler(connect()))


@contextlib.contextmanager
def upload(path: str, mode: str = "wb") -> Iterator[Any]:
    """An object that appears, whole, when the block ends well; else its upload is aborted.

    In mode "xb" only where none is there; raises `FileExistsError` for all but the first.
    """
    file: Any = connect().open(path, mode)
    try:
        yield file
        file.close()
    except BaseException:
        file.closed = True  # else it would be completed when it is collected
        with contextlib.suppress(Exception):  # what went wrong first is what is told
            file.discard()
        raise


def create(path: str, data: bytes) -> bool:
    """Write an object where none is; False for all but the first who do so."""
    try:
        with upload(path, "xb") as file:
            file.write(data)
    except FileExistsError:
        return False
    return True


def replace(path: str, tag: str, data: bytes) -> bool:
    """Write an object anew if it is still the one with this tag; False where another came first."""
    bucket, _, key = path.partition("/")
    try:
        connect().call_s3("put_object", Bucket=bucket, Key=key, Body=data, IfMatch=tag)
    except OSError as error:
        if _refused(error):
            return False
        raise
    return True


def tag_of(path: str) -> tuple[str, datetime]:
    """An object's tag, and by the server's clock when it was written."""
    info = connect().info(path)
    return info["ETag"], info["LastModified"]


def _refused(error: BaseException) -> bool:
    """Whether the condition of a conditional write did not hold."""
    response = getattr(error.__cause__, "response", {})
    return response.get("ResponseMetadata", {}).get("HTTPStatusCode") in (404, 409, 412)
