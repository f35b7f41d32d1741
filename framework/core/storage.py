"""Folders, local or in a bucket. Credentials come from the standard chain (environment, profile, role)."""

from __future__ import annotations

import contextlib
import json
import os
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from framework.core.addresses import resolved
from framework.core.errors import StorageError
from framework.core.filesystems import bucket_of, filesystem_of
from framework.core.parsing import DAMAGED, parsed, text_of
from framework.core.storage_faults import explained, short

PRIVATE_FOLDER, PRIVATE_FILE = 0o700, 0o600
"""Modes of what is written to a local disk: it may hold what identifies patients."""

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow.fs import FileInfo, FileSystem


@dataclass(frozen=True)
class Store:
    """A folder. Holds only its address, so that it can be sent to another process."""

    url: str
    attempt: str = field(default="", compare=False)
    """Where `lock` claimed the folder: whose claim it is."""

    @classmethod
    def at(cls, url: str | os.PathLike[str] | Store) -> Store:
        """A local path (`~` is the home folder), `s3://bucket/folder` or `gs://…`; `StorageError` for others.

        An address is written down in artifacts, so one with a key or a signature in it is refused.
        """
        return url if isinstance(url, Store) else cls(resolved(os.fspath(url)))

    def __truediv__(self, child: str) -> Store:
        return Store(f"{self.url}/{child}")

    @property
    def name(self) -> str:
        return self.url.rsplit("/", 1)[-1]

    @property
    def parent(self) -> Store:
        """The folder that it lies in."""
        return Store(self.url.rpartition("/")[0] or "/")

    @property
    def is_local(self) -> bool:
        return "://" not in self.url

    @property
    def filesystem(self) -> FileSystem:
        return filesystem_of(self.url)

    def path(self, name: str = "") -> str:
        """The address of a file below this folder, as `filesystem` wants it (no scheme)."""
        root = self.url.partition("://")[2] or self.url
        return f"{root}/{name}" if name else root

    def exists(self, name: str = "") -> bool:
        from pyarrow.fs import FileType

        with self.explained(name):
            return self.filesystem.get_file_info(self.path(name)).type != FileType.NotFound

    def names(self, prefix: str = "") -> list[str]:
        """Sorted names of files and folders directly beneath that begin so; none where no folder is."""
        return [name for name in self._beneath() if name.startswith(prefix)]

    def sizes(self) -> dict[str, int]:
        """Bytes of each file directly beneath, by sorted name; folders and dangling links are left out."""
        return {name: info.size for name, info in self._beneath().items() if info.is_file}

    def folders(self) -> list[str]:
        """Sorted names of the folders directly beneath."""
        from pyarrow.fs import FileType

        return [name for name, info in self._beneath().items() if info.type == FileType.Directory]

    def holders(self, *names: str) -> list[Store]:
        """This folder and those at any depth below it, sorted, that have a file of one of these names."""
        from pyarrow.fs import FileSelector

        with self.explained():
            infos = self.filesystem.get_file_info(FileSelector(self.path(), recursive=True))
            found = [info.path for info in infos if info.is_file and info.base_name in names]
        root = self.path()
        return [Store(self.url + path[len(root) :].rpartition("/")[0]) for path in sorted(found)]

    def _beneath(self) -> dict[str, FileInfo]:
        """What is directly beneath, by sorted name."""
        from pyarrow.fs import FileSelector

        with self.explained():
            infos = self.filesystem.get_file_info(FileSelector(self.path(), allow_not_found=True))
            names = {info.base_name: info for info in infos}
        return {name: names[name] for name in sorted(names) if name}

    def read_bytes(self, name: str) -> bytes:
        with self.explained(name), self.filesystem.open_input_file(self.path(name)) as file:
            return file.read()

    def write_bytes(self, name: str, data: bytes) -> None:
        """Write whole or not at all: a reader sees the old content or the new one."""
        with self.explained(name), self.atomic_writer(name) as file:
            file.write(data)

    @contextlib.contextmanager
    def atomic_writer(self, name: str) -> Iterator[Any]:
        """An output file that appears under its name only when the block ends well.

        A local file is written beside its place and renamed; an object of a bucket appears whole when the
        block has ended, and where it fails its upload is aborted.
        """
        with self.explained(name):
            target = self.path(name)
            if not self.is_local:
                with bucket_of(self.url).upload(target) as file:
                    yield file
                return
            partial = f"{target}.{uuid.uuid4().hex[:8]}.partial"
            _make_folders(os.path.dirname(target))
            try:
                with open(partial, "wb", opener=_private) as file:
                    yield file
                    file.flush()
                    os.fsync(file.fileno())
                os.replace(partial, target)
            finally:
                with contextlib.suppress(FileNotFoundError):
                    os.remove(partial)

    def read_text(self, name: str) -> str:
        return text_of(self.read_bytes(name), f"{self.url}/{name}")

    def write_text(self, name: str, text: str) -> None:
        self.write_bytes(name, text.encode())

    def read_json(self, name: str, kind: Any = Any) -> Any:
        """A JSON file as a type that pydantic knows, such as a model of it; `StorageError` for another."""
        return parsed(self.read_bytes(name), f"{self.url}/{name}", kind)

    def write_json(self, name: str, value: Any) -> None:
        self.write_text(name, json.dumps(value, indent=2, ensure_ascii=False) + "\n")

    def read_table(self, name: str, columns: Sequence[str] | None = None) -> pa.Table:
        """A Parquet file, or some of its columns: others are not read."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            with self.explained(name):
                return pq.read_table(
                    self.path(name),
                    columns=columns,
                    filesystem=self.filesystem,
                    page_checksum_verification=True,
                )
        except pa.ArrowInvalid as error:
            fault = f"not a readable Parquet file ({short(error)})"
            raise StorageError(f"{self.url}/{name}: {fault}; {DAMAGED}") from None

    def write_table(self, name: str, table: pa.Table, **options: Any) -> None:
        """Write a Parquet file, whole or not at all; options as `pyarrow.parquet.write_table` has them. Its
        pages have checksums, so that a damaged one is noticed by whoever reads it."""
        import pyarrow.parquet as pq

        with self.atomic_writer(name) as file:
            pq.write_table(table, file, write_page_checksum=True, **options)

    def remove(self, name: str = "") -> None:
        """Delete a file, or a folder with all below it; nothing happens when it does not exist."""
        from pyarrow.fs import FileType

        with self.explained(name):
            kind = self.filesystem.get_file_info(self.path(name)).type
            if kind == FileType.Directory:
                self.filesystem.delete_dir(self.path(name))
            elif kind == FileType.File:
                self.filesystem.delete_file(self.path(name))

    def require_writable(self) -> None:
        """Raise `StorageError` now rather than after an hour of training."""
        self.write_bytes(".writable", b"")
        self.remove(".writable")

    def explained(self, name: str = "") -> contextlib.AbstractContextManager[None]:
        """What the system says of a file in the block, as a `StorageError` that names it and what to do."""
        return explained(f"{self.url}/{name}" if name else self.url, self.is_local)


def _make_folders(path: str) -> None:
    """Make a folder and what is missing above it, for their owner alone; those that are there keep modes."""
    if path and not os.path.isdir(path):
        _make_folders(os.path.dirname(path))
        with contextlib.suppress(FileExistsError):  # another process may be as far; a file is found next
            os.mkdir(path, PRIVATE_FOLDER)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, PRIVATE_FILE)
