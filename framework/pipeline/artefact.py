"""`artefact.json`: what a folder holds, from which inputs and which configuration it was made, and that it is finished."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any, Literal

import framework
from framework.corpus.schema import WEAK_COMMANDS
from framework.errors import CheckpointError, CorpusError
from framework.storage import Store

Kind = Literal["corpus", "model", "layer", "map layer", "evaluation", "comparison", "report"]


@dataclass(frozen=True)
class Input:
    """Something an artefact was made from: where it was, and the hash of what it was."""

    path: str
    hash: str


@dataclass(frozen=True)
class Recipe:
    """What an artefact is to be made from. Equal recipes make equal artefacts, so their hash is the artefact's hash."""

    kind: Kind
    inputs: dict[str, Input]
    settings: dict[str, Any]

    @property
    def config_hash(self) -> str:
        return _hash(self.settings)

    @property
    def hash(self) -> str:
        return _hash([self.kind, {role: found.hash for role, found in self.inputs.items()}, self.settings])


def is_finished(store: Store, recipe: Recipe) -> bool:
    """Whether the artefact is there already; raises `CheckpointError` when the folder holds one of another recipe."""
    if not store.exists("artefact.json"):
        return False
    found = store.read_json("artefact.json")
    if found["hash"] != recipe.hash:
        raise CheckpointError(
            f"{store.url}: holds a finished {found['kind']} of another configuration or input, or of an earlier version of its "
            "method; choose another name, or delete it"
        )
    return True


def finish(store: Store, recipe: Recipe, counts: dict[str, Any], seconds: float) -> None:
    """Record that the artefact is whole: written last."""
    record = {
        "kind": recipe.kind,
        "name": store.name,
        "hash": recipe.hash,
        "config_hash": recipe.config_hash,
        "inputs": {role: {"path": shown(found.path), "hash": found.hash} for role, found in recipe.inputs.items()},
        "counts": counts,
        "seconds": round(seconds, 2),
        "finished": True,
        "version": framework.__version__,
    }
    store.write_json("artefact.json", record)


def input_of(store: Store, kind: Kind) -> Input:
    """A finished artefact as an input of another; raises `CorpusError` when it is not there or of another kind."""
    if not store.exists("artefact.json"):
        how = f"make one with `scantseg pseudolabel`, {WEAK_COMMANDS}" if kind == "layer" else "make it first"
        raise CorpusError(f"{store.url}: no finished {kind} here; {how}, or check the path")
    found = store.read_json("artefact.json")
    if found["kind"] != kind:
        raise CorpusError(f"{store.url}: holds a {found['kind']}, but a {kind} is needed here")
    return Input(store.url, found["hash"])


def summary(layer: Store) -> str:
    """What a finished layer holds, in a few words."""
    counts = layer.read_json("artefact.json")["counts"]
    held = "".join(f", {count} with {name}" for name, count in counts.get("images_with", {}).items())
    seeds = f", {counts['without_seed']} without any seed" if "without_seed" in counts else ""
    empty = f", {counts['without_class']} of them background alone" if "without_class" in counts else ""
    uncut = f", {counts['without_mask']} without a mask that is clear enough" if "without_mask" in counts else ""
    unknown = f", {counts['without_answer']} left out whose label is not known" if counts.get("without_answer") else ""
    return f"{counts['rows']} images{held}{seeds}{empty}{uncut}{unknown}, {counts['quarantined']} quarantined"


def shown(path: str) -> str:
    """A path as it may stand in a file that others read: the last two parts, not the machine's layout."""
    return path if "://" in path else "/".join(path.rsplit("/", 2)[-2:])


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]
