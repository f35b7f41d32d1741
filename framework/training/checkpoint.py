"""Checkpoints: safetensors and JSON, whole or not there at all, and free of the number of workers.

A checkpoint is a folder of tensor files and, written last, `checkpoint.json` with their sizes and hashes. A
folder without it, or whose files do not match it, is passed over: an interrupted write is never picked up.
"""

import hashlib
from dataclasses import dataclass
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from framework.core.errors import CheckpointError, StorageError
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
    facts = {"step": checkpoint.step, "best": checkpoint.best, "identity": checkpoint.identity}
    (store / name).write_json("checkpoint.json", facts | {"files": files})
    return name


def encode_tensors(tensors: Tensors) -> bytes:
    return save_tensors({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()})


def latest(store: Store, identity: dict[str, Any]) -> Checkpoint | None:
    """The newest whole checkpoint, or None; raises `CheckpointError` when it is of another configuration."""
    for name in sorted((n for n in store.names() if n.startswith("step-")), reverse=True):
        if (store / name).exists("checkpoint.json"):
            try:
                checkpoint = read(store / name)
            except CheckpointError:
                continue  # damaged: an older one may be whole
            _require_same(checkpoint.identity, identity, store / name)
            return checkpoint
    return None


def read(store: Store) -> Checkpoint:
    """Read one checkpoint folder; raises `CheckpointError` when it is damaged."""
    try:
        record = store.read_json("checkpoint.json")
        hashes = {part: facts["sha256"] for part, facts in record["files"].items()}
        parts = {part: read_tensors(store, f"{part}.safetensors", hash) for part, hash in hashes.items()}
        return Checkpoint(record["step"], parts, record["identity"], record["best"])
    except (StorageError, KeyError, TypeError) as error:
        mend = "delete this folder to go on from an older one"
        raise CheckpointError(f"{store.url}: damaged checkpoint ({error}); {mend}") from None


def read_tensors(store: Store, name: str, sha256: str | None = None) -> Tensors:
    """Tensors of a safetensors file; raises `CheckpointError` when it is damaged."""
    data, url = store.read_bytes(name), f"{store.url}/{name}"
    if sha256 is not None and hashlib.sha256(data).hexdigest() != sha256:
        fault = f"truncated or damaged checkpoint ({len(data)} bytes)"
        raise CheckpointError(f"{url}: {fault}; delete its folder")
    try:
        return load_tensors(data)
    except SafetensorError as error:
        raise CheckpointError(f"{url}: not whole ({error}); delete it and train again") from None


def prune(store: Store, keep: str) -> None:
    """Remove all checkpoints but the named one."""
    for name in store.names():
        if name.startswith("step-") and name != keep:
            store.remove(name)


def _require_same(saved: dict[str, Any], now: dict[str, Any], store: Store) -> None:
    differing = sorted(key for key in saved.keys() | now.keys() if saved.get(key) != now.get(key))
    if differing:
        changes = (f"{key}: {saved.get(key)!r} there, {now.get(key)!r} now" for key in differing[:3])
        fault = f"checkpoint of another configuration ({', '.join(changes)})"
        raise CheckpointError(f"{store.url}: {fault}; give this run another name, or delete that folder")


def to_device(tensors: Tensors, device: torch.device) -> Tensors:
    return {name: tensor.to(device) for name, tensor in tensors.items()}
