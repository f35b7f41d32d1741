"""`artifact.json`: what a folder holds, what it was made from, and that it is finished."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import framework
from framework.core.errors import CheckpointError, CorpusError
from framework.core.machine import machine
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


def is_finished(store: Store, spec: ArtifactSpec) -> bool:
    """Whether the artifact is there; raises `CheckpointError` when the folder holds one of another spec."""
    if not store.exists("artifact.json"):
        return False
    record = store.read_json("artifact.json")
    if record["hash"] != spec.hash:
        other = "of another configuration or input, or of an earlier version of its method"
        mend = "choose another name, or delete it"
        raise CheckpointError(f"{store.url}: holds a finished {record['kind']} {other}; {mend}")
    return True


def finish(store: Store, spec: ArtifactSpec, counts: dict[str, Any], seconds: float) -> None:
    """Record that the artifact is whole: written last."""
    inputs = {role: {"path": shown(made.path), "hash": made.hash} for role, made in spec.inputs.items()}
    record = {
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
    }
    store.write_json("artifact.json", record)


def input_of(store: Store, kind: Kind, how: str = "make it first") -> Input:
    """A finished artifact as an input; raises `CorpusError`, which says `how` to make one, where none is."""
    if not store.exists("artifact.json"):
        raise CorpusError(f"{store.url}: no finished {kind} here; {how}, or check the path")
    record = store.read_json("artifact.json")
    if record["kind"] != kind:
        raise CorpusError(f"{store.url}: holds a {record['kind']}, but a {kind} is needed here")
    return Input(store.url, record["hash"])


def summary(layer: Store) -> str:
    """What a layer holds, in the words of its counts: "10 images, 3 without any seed, 0 quarantined"."""
    counts = layer.read_json("artifact.json")["counts"]
    words = {"images" if what == "rows" else what: n for what, n in counts.items() if isinstance(n, int)}
    return ", ".join(f"{n} {what}" for what, n in words.items())


def shown(path: str) -> str:
    """A path as it may stand in a file that others read: the last two parts, not the machine's layout."""
    return path if "://" in path else "/".join(path.rsplit("/", 2)[-2:])
