"""`artifact.json`: what a folder holds, what it was made from, and that it is finished and whole."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

import framework
from framework.core import lock
from framework.core.errors import CheckpointError, CorpusError
from framework.core.integrity import Files, damaged, described, read_whole, require_sizes
from framework.core.machine import machine
from framework.core.parsing import parsed
from framework.core.settings import digest
from framework.core.storage import Store

Kind = Literal["corpus", "model", "layer", "map layer", "evaluation", "comparison", "report"]


@dataclass(frozen=True)
class Input:
    """Something an artifact was made from: where it was, and the hash of what it was."""

    path: str
    hash: str


@dataclass(frozen=True)
class ArtifactSpec:
    """What an artifact is to be made from; equal specs make equal artifacts, which bear their hash."""

    kind: Kind
    inputs: dict[str, Input]
    settings: dict[str, Any]
    job: str = ""
    """What makes it, for a layer."""

    @property
    def hash(self) -> str:
        inputs = {role: made.hash for role, made in self.inputs.items()}
        return digest([self.job or self.kind, inputs, self.settings])


FILE = "artifact.json"
OWN = (".csv", ".json", ".jsonl", ".md", ".parquet", ".png", ".safetensors", ".yaml")
"""Endings of the files of an artifact; others in its folder are the user's, or of the work."""


class Record(BaseModel):
    """What `artifact.json` holds."""

    model_config = ConfigDict(extra="allow")
    kind: str
    name: str = ""
    hash: str
    inputs: dict[str, Input]
    counts: dict[str, Any]
    seconds: float = 0.0
    """What it took to make it."""
    files: Files = {}
    """Empty in an artifact of an earlier version, which is opened, but of which nothing can be checked."""
    seal: str = ""
    """Hash of all the rest; empty in an artifact of an earlier version."""

    def sealed(self) -> str:
        """The seal that belongs to what it holds."""
        return digest(self.model_dump(exclude={"seal"}))


def read_record(store: Store) -> dict[str, Any]:
    """A `Record` as it stands; raises `StorageError` where it is not what was written, or where a file that
    it names is missing or of another size."""
    record = store.read_json(FILE, Record)
    if record.seal and record.seal != record.sealed():
        raise damaged(store, FILE, "is not what was written")
    require_sizes(store, record.files)
    return record.model_dump()


def read_file(store: Store, name: str) -> bytes:
    """A file of a finished artifact; raises `StorageError` where it is not what was written."""
    return read_whole(store, name, read_record(store)["files"])


def read_part(store: Store, name: str, kind: Any = Any) -> Any:
    """A JSON or YAML file of a finished artifact, as a type that pydantic knows; raises `StorageError` where
    it is not what was written, or not of that type."""
    return parsed(read_file(store, name), f"{store.url}/{name}", kind)


def is_finished(store: Store, spec: ArtifactSpec) -> bool:
    """Whether the artifact is there; raises `CheckpointError` when the folder holds one of another spec,
    `StorageError` when a file of it is missing or of another size."""
    if not store.exists(FILE):
        return False
    record = read_record(store)
    if record["hash"] != spec.hash:
        other = "of another configuration or input, or of an earlier version of its method"
        mend = "choose another name, or delete it"
        raise CheckpointError(f"{store.url}: holds a finished {record['kind']} {other}; {mend}")
    return True


def finish(
    store: Store,
    spec: ArtifactSpec,
    counts: dict[str, Any],
    seconds: float,
    folders: Sequence[str] = (),
) -> None:
    """Record that the artifact is whole, with sizes and hashes of its files and of those in its `folders`."""
    inputs = {role: {"path": shown(made.path), "hash": made.hash} for role, made in spec.inputs.items()}
    _write(
        store,
        {
            "kind": spec.kind,
            **({"job": spec.job} if spec.job else {}),
            "name": store.name,
            "hash": spec.hash,
            "config_hash": digest(spec.settings),
            "inputs": inputs,
            "counts": counts,
            "seconds": round(seconds, 2),
            "made": datetime.now(UTC).isoformat(sep=" ", timespec="minutes").replace("+00:00", " UTC"),
            "machine": machine(),
            "finished": True,
            "version": framework.__version__,
            "files": described(store, _own(store, folders)),
        },
    )


def _write(store: Store, content: dict[str, Any]) -> None:
    record = Record(**content)
    store.write_json(FILE, record.model_dump() | {"seal": record.sealed()})


def add_file(store: Store, name: str) -> None:
    """Record a file that was written after the artifact was finished."""
    record = store.read_json(FILE, Record).model_dump()
    _write(store, record | {"files": record["files"] | described(store, [name])})


def _own(store: Store, folders: Sequence[str]) -> list[str]:
    deeper = [f"{folder}/{name}" for folder in folders for name in (store / folder).sizes()]
    names = [*store.sizes(), *deeper]
    return [name for name in names if name.endswith(OWN) and name not in (FILE, lock.FILE)]


def input_of(store: Store, kind: Kind, how: str = "make it first") -> Input:
    """A finished artifact as an input; raises `CorpusError`, which says `how` to make one, where none is."""
    if not store.exists(FILE):
        raise CorpusError(f"{store.url}: no finished {kind} here; {how}, or check the path")
    record = read_record(store)
    if record["kind"] != kind:
        raise CorpusError(f"{store.url}: holds a {record['kind']}, but a {kind} is needed here")
    return Input(store.url, record["hash"])


def summary(layer: Store) -> str:
    """What a layer holds, in the words of its counts: "10 images, 3 without any seed, 0 quarantined"."""
    counts = read_record(layer)["counts"]
    words = {"images" if what == "rows" else what: n for what, n in counts.items() if isinstance(n, int)}
    return ", ".join(f"{n} {what}" for what, n in words.items())


def shown(path: str) -> str:
    """A path as it may stand in a file that others read: the last two parts, not the machine's layout."""
    return path if "://" in path else "/".join(path.rsplit("/", 2)[-2:])
