"""Checkpoints: safetensors and JSON, whole or not there at all, and free of the number of workers.

A checkpoint is a folder of tensor files and, written last, `checkpoint.json` with their sizes and hashes and
a hash of its own. A folder without it is an interrupted write and never picked up; one whose files do not
match is damaged, and passed over with a word. Two are kept, so that there is one to fall back to.
"""

import hashlib
from dataclasses import dataclass
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from framework.core.callbacks import Log
from framework.core.distributed import broadcast_tensors, gather_objects, rank
from framework.core.errors import CheckpointError, ScantsegError, StorageError
from framework.core.settings import digest
from framework.core.storage import Store

Tensors = dict[str, Tensor]


@dataclass(frozen=True)
class Checkpoint:
    """All that a run is after `step` steps."""

    step: int
    parts: dict[str, Tensors]
    """`model`, `optimiser`, and `ema` where there is one."""
    identity: dict[str, Any]
    """What determines the result: a run goes on only from a checkpoint of the same."""
    best: float
    """The best validation score so far, -1 before the first."""


def save(store: Store, checkpoint: Checkpoint) -> str:
    """Write a checkpoint below `store`; gives the name of its folder."""
    name = f"step-{checkpoint.step:08d}"
    files = {}
    for part, tensors in checkpoint.parts.items():
        data = encode_tensors(tensors)
        (store / name).write_bytes(f"{part}.safetensors", data)
        files[part] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    record = {
        "step": checkpoint.step,
        "best": checkpoint.best,
        "identity": checkpoint.identity,
        "files": files,
    }
    (store / name).write_json("checkpoint.json", record | {"hash": digest(record)})
    return name


def encode_tensors(tensors: Tensors) -> bytes:
    return save_tensors({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()})


def latest(store: Store, identity: dict[str, Any], log: Log = print) -> Checkpoint | None:
    """The newest whole checkpoint, or None; `log` hears a line of each that is damaged and passed over.

    Raises `CheckpointError` when it is of another configuration.
    """
    for name in _names(store):
        try:
            checkpoint = read(store / name)
        except CheckpointError as error:
            log(str(error))
        else:
            _require_same(checkpoint.identity, identity, store / name)
            return checkpoint
    return None


def latest_of_all(
    store: Store, identity: dict[str, Any], device: torch.device, log: Log = print
) -> Checkpoint | None:
    """`latest` as rank 0 finds it, on every rank, with its tensors on the device: other ranks read nothing of
    the store, which may be a disk of rank 0's host, and all go on from the same. A collective call.

    Raises, on all ranks, what `latest` raises, and `CheckpointError` where ranks are of different runs.
    """
    digests = gather_objects(digest(identity))
    if others := [place for place, each in enumerate(digests) if each != digests[0]]:
        fault = f"rank {others[0]} has another corpus, layer, model or version of scantseg than rank 0"
        raise CheckpointError(f"{store.url}: {fault}; give all hosts the same")
    mine, fault = _tried(store, identity, log) if rank() == 0 else (None, None)
    facts, fault = gather_objects(((mine.step, mine.best, list(mine.parts)) if mine else None, fault))[0]
    if fault is not None:
        raise fault
    if facts is None:
        return None
    step, best, names = facts
    parts = {name: broadcast_tensors(mine.parts[name] if mine else {}, device) for name in names}
    return Checkpoint(step, parts, identity, best)


def _tried(
    store: Store, identity: dict[str, Any], log: Log
) -> tuple[Checkpoint | None, ScantsegError | None]:
    """The checkpoint that there is, and why there is none that can be read."""
    try:
        return latest(store, identity, log), None
    except ScantsegError as error:
        return None, error


def require_same_run(store: Store, identity: dict[str, Any]) -> None:
    """Raise `CheckpointError` when the newest checkpoint is of another configuration, by its record alone."""
    for name in _names(store):
        try:
            record = _read_record(store / name)
        except CheckpointError:
            continue  # `latest` says it
        return _require_same(record["identity"], identity, store / name)


def read(store: Store) -> Checkpoint:
    """Read one checkpoint folder; raises `CheckpointError` when it is damaged."""
    record = _read_record(store)
    hashes = {part: facts["sha256"] for part, facts in record["files"].items()}
    try:
        parts = {part: read_tensors(store, f"{part}.safetensors", hash) for part, hash in hashes.items()}
    except StorageError as error:
        raise CheckpointError(f"damaged checkpoint: {error}") from None
    return Checkpoint(record["step"], parts, record["identity"], record["best"])


def newest_step(store: Store) -> int:
    """The step of the newest checkpoint, 0 where there is none."""
    return max((int(name.removeprefix("step-")) for name in _names(store)), default=0)


def _names(store: Store) -> list[str]:
    """The folders of checkpoints whose record is there, newest first."""
    names = sorted(store.names("step-"), reverse=True)
    return [name for name in names if (store / name).exists("checkpoint.json")]


def _read_record(store: Store) -> dict[str, Any]:
    """The record of one checkpoint; raises `CheckpointError` when it is not what `save` wrote."""
    try:
        record = store.read_json("checkpoint.json")
        whole = record.pop("hash") == digest(record)
    except (StorageError, KeyError, TypeError, AttributeError):
        whole, record = False, {}
    if not whole:
        raise CheckpointError(f"{store.url}/checkpoint.json: damaged checkpoint: its record is not whole")
    return record


def read_tensors(store: Store, name: str, sha256: str | None = None) -> Tensors:
    """Tensors of a safetensors file; raises `CheckpointError` when it is damaged."""
    data, url = store.read_bytes(name), f"{store.url}/{name}"
    if sha256 is not None and hashlib.sha256(data).hexdigest() != sha256:
        raise CheckpointError(f"{url}: truncated or damaged checkpoint ({len(data)} bytes)")
    return decode_tensors(data, url)


def decode_tensors(data: bytes, url: str) -> Tensors:
    """Tensors of safetensors; raises `CheckpointError`, which names `url`, when they are none."""
    try:
        return load_tensors(data)
    except SafetensorError as error:
        raise CheckpointError(f"{url}: not whole ({error}); delete it and train again") from None


def prune(store: Store, newest: str) -> None:
    """Remove all checkpoints but the named one and the one before it; later ones are damaged."""
    keep = {newest, *[name for name in _names(store) if name < newest][:1]}
    for name in store.names("step-"):
        if name not in keep:
            store.remove(name)


def _require_same(saved: dict[str, Any], now: dict[str, Any], store: Store) -> None:
    differing = sorted(key for key in saved.keys() | now.keys() if saved.get(key) != now.get(key))
    if differing:
        changes = (f"{key}: {saved.get(key)!r} there, {now.get(key)!r} now" for key in differing[:3])
        fault = f"checkpoint of another configuration ({', '.join(changes)})"
        raise CheckpointError(f"{store.url}: {fault}; give this run another name, or delete that folder")
