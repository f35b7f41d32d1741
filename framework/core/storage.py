"""Folders, local or on S3. Credentials come from the standard chain (environment, profile, role) alone."""

from __future__ import annotations

import contextlib
import json
import os
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from framework.core.errors import StorageError

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow.fs import FileInfo, FileSystem


@dataclass(frozen=True)
class Store:
    """A folder. Holds only its address, so that it can be sent to another process."""

    url: str

    @classmethod
    def at(cls, url: str | os.PathLike[str] | Store) -> Store:
        """A local path (`~` is the home folder) or `s3://bucket/folder`; raises `StorageError` for others."""
        if isinstance(url, Store):
            return url
        text = os.fspath(url)
        scheme, separator, place = text.partition("://")
        if not separator:
            return cls(os.path.abspath(os.path.expanduser(text)))
        if scheme != "s3":
            mend = "use a local path or s3://bucket/folder"
            raise StorageError(f"'{text}': storage '{scheme}://' is not known; {mend}")
        if not place.strip("/"):
            raise StorageError(f"'{text}': names no bucket; use s3://bucket/folder")
        return cls(text.rstrip("/"))

    def __truediv__(self, child: str) -> Store:
        return Store(f"{self.url}/{child}")

    @property
    def name(self) -> str:
        return self.url.rsplit("/", 1)[-1]

    @property
    def is_local(self) -> bool:
        return "://" not in self.url

    @property
    def filesystem(self) -> FileSystem:
        return _filesystem(self.is_local)

    def path(self, name: str = "") -> str:
        """The address of a file below this folder, as `filesystem` wants it (no scheme)."""
        root = self.url.removeprefix("s3://")
        return f"{root}/{name}" if name else root

    def exists(self, name: str = "") -> bool:
        from pyarrow.fs import FileType

        with self._explained(name):
            return self.filesystem.get_file_info(self.path(name)).type != FileType.NotFound

    def names(self, prefix: str = "") -> list[str]:
        """Sorted names of files and folders directly beneath that begin so; none where no folder is."""
        names = (info.base_name for info in self._beneath())
        return sorted(name for name in names if name and name.startswith(prefix))

    def sizes(self) -> dict[str, int]:
        """Bytes of each file directly beneath, by sorted name; folders and dangling links are left out."""
        infos = sorted(self._beneath(), key=lambda info: info.path)
        return {info.base_name: info.size for info in infos if info.is_file}

    def _beneath(self) -> list[FileInfo]:
        from pyarrow.fs import FileSelector

        with self._explained():
            return self.filesystem.get_file_info(FileSelector(self.path(), allow_not_found=True))

    def read_bytes(self, name: str) -> bytes:
        with self._explained(name), self.filesystem.open_input_file(self.path(name)) as file:
            return file.read()

    def write_bytes(self, name: str, data: bytes) -> None:
        """Write whole or not at all: a reader sees the old content or the new one."""
        with self._explained(name), self.atomic_writer(name) as file:
            file.write(data)

    @contextlib.contextmanager
    def atomic_writer(self, name: str) -> Iterator[Any]:
        """An output file that appears under its name only when the block ends well.

        A local file is written beside its place and renamed; on S3 an object appears whole when it is closed.
        """
        with self._explained(name):
            target = self.path(name)
            if not self.is_local:
                with self.filesystem.open_output_stream(target) as file:
                    yield file
                return
            partial = f"{target}.{uuid.uuid4().hex[:8]}.partial"
            os.makedirs(os.path.dirname(target), exist_ok=True)
            try:
                with open(partial, "wb") as file:
                    yield file
                    file.flush()
                    os.fsync(file.fileno())
                os.replace(partial, target)
            finally:
                with contextlib.suppress(FileNotFoundError):
                    os.remove(partial)

    def read_text(self, name: str) -> str:
        return self.read_bytes(name).decode()

    def write_text(self, name: str, text: str) -> None:
        self.write_bytes(name, text.encode())

    def read_json(self, name: str) -> Any:
        try:
            return json.loads(self.read_bytes(name))
        except ValueError as error:
            raise StorageError(f"{self.url}/{name}: not valid JSON ({error}); the file is damaged") from None

    def write_json(self, name: str, value: Any) -> None:
        self.write_text(name, json.dumps(value, indent=2, ensure_ascii=False) + "\n")

    def read_table(self, name: str, columns: Sequence[str] | None = None) -> pa.Table:
        """A Parquet file, or some of its columns: others are not read."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            with self._explained(name):
                return pq.read_table(self.path(name), columns=columns, filesystem=self.filesystem)
        except pa.ArrowInvalid as error:
            fault = f"not a readable Parquet file ({_short(error)})"
            raise StorageError(f"{self.url}/{name}: {fault}; the file is damaged") from None

    def write_table(self, name: str, table: pa.Table, **options: Any) -> None:
        """Write a Parquet file, whole or not at all; options as `pyarrow.parquet.write_table` has them."""
        import pyarrow.parquet as pq

        with self.atomic_writer(name) as file:
            pq.write_table(table, file, **options)

    def remove(self, name: str = "") -> None:
        """Delete a file, or a folder with all below it; nothing happens when it does not exist."""
        from pyarrow.fs import FileType

        with self._explained(name):
            kind = self.filesystem.get_file_info(self.path(name)).type
            if kind == FileType.Directory:
                self.filesystem.delete_dir(self.path(name))
            elif kind == FileType.File:
                self.filesystem.delete_file(self.path(name))

    def require_writable(self) -> None:
        """Raise `StorageError` now rather than after an hour of training."""
        self.write_bytes(".writable", b"")
        self.remove(".writable")

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other processes of this machine out of the folder; raises `StorageError` for them.

        The kernel lets go when this process ends, even if it is killed. A folder on S3 is only proven
        writable: there, a lock would outlive a killed owner.
        """
        self.require_writable()
        with contextlib.ExitStack() as stack:
            if self.is_local:
                folder = os.open(self.path(), os.O_RDONLY)
                stack.callback(os.close, folder)
                self._lock(folder)
            yield

    def _lock(self, folder: int) -> None:
        import fcntl

        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            mend = "wait for it, or choose another name"
            raise StorageError(f"{self.url}: another process is at work here; {mend}") from None

    @contextlib.contextmanager
    def _explained(self, name: str = "") -> Iterator[None]:
        where = f"{self.url}/{name}" if name else self.url
        try:
            yield
        except StorageError:
            raise
        except FileNotFoundError:
            missing = "file or folder" if self.is_local else "bucket or file"
            raise StorageError(f"{where}: no such {missing}; check the path") from None
        except PermissionError as error:
            fault = f"permission denied ({_short(error)})"
            raise StorageError(f"{where}: {fault}; check owner, mode or credentials") from None
        except OSError as error:
            mend = "check that the place exists and is writable"
            raise StorageError(f"{where}: {_short(error)}; {mend}") from None
        except Exception as error:
            if not type(error).__module__.startswith("botocore."):
                raise
            mend = "check credentials, network and AWS_ENDPOINT_URL"
            raise StorageError(f"{where}: {_short(error)}; {mend}") from None


def _short(error: BaseException) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return text.splitlines()[0][:200]


@lru_cache(maxsize=2)
def _filesystem(local: bool) -> FileSystem:
    """One file system per process; s3fs reads AWS_ENDPOINT_URL, so that other vendors' endpoints work."""
    from pyarrow.fs import FSSpecHandler, LocalFileSystem, PyFileSystem

    if local:
        return LocalFileSystem()
    import s3fs

    return PyFileSystem(FSSpecHandler(s3fs.S3FileSystem(use_listings_cache=False)))
