"""What a report is about: the finished artifacts below some folders, and which was made from which."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from framework.core.errors import StorageError
from framework.core.storage import Store
from framework.imaging.overlay import data_address


@dataclass(frozen=True)
class Parent:
    """An input of an artifact: its part ("corpus", "model", …), where it was, and the artifact if it is a
    source."""

    role: str
    path: str
    hash: str
    artifact: Artifact | None

    @property
    def key(self) -> str:
        return self.artifact.key if self.artifact else self.hash

    @property
    def name(self) -> str:
        return self.path.rsplit("/", 1)[-1]


@dataclass(frozen=True)
class Artifact:
    """A finished artifact: its folder, its address as its key, what `artifact.json` says, and its inputs."""

    store: Store
    key: str
    kind: str
    name: str
    counts: dict[str, Any]
    record: dict[str, Any]
    parents: tuple[Parent, ...]

    def parent(self, role: str) -> Parent | None:
        return next((parent for parent in self.parents if parent.role == role), None)


def origin(evaluation: Artifact) -> dict[str, Any]:
    """An evaluation's name, and the model and corpus that it was made from."""
    model, corpus = evaluation.parent("model"), evaluation.parent("corpus")
    return {
        "name": evaluation.name,
        "model": model.name if model else "a model that is not recorded",
        "model_key": model.key if model else None,
        "corpus": corpus.name if corpus else "a corpus that is not recorded",
    }


def with_data(store: Store, entries: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Entries with their `file`, a picture in a store, as an address that holds it whole."""
    return [entry | {"data": data_address(store.read_bytes(entry["file"]))} for entry in entries]


def gather(sources: Iterable[Store]) -> list[Artifact]:
    """The finished artifacts in `sources`, inputs before what was made from them.

    A source is an artifact's folder or a run's root with such folders in it. Raises `StorageError` for one
    without any.
    """
    records: dict[str, tuple[Store, dict[str, Any]]] = {}
    for source in sources:
        stores = _artifact_stores(source)
        if not stores:
            where = f"{source.url}: no artifact.json here or one folder below"
            raise StorageError(f"{where}; name a finished artifact or a run's folder")
        records |= {store.url: (store, store.read_json("artifact.json")) for store in stores}
    return _linked(list(records.values()))


def _artifact_stores(source: Store) -> list[Store]:
    if source.exists("artifact.json"):
        return [source]
    return [source / name for name in source.names() if (source / name).exists("artifact.json")]


def _linked(records: list[tuple[Store, dict[str, Any]]]) -> list[Artifact]:
    """Depth first, parents before children; a hash contains its inputs' hashes, so there is no cycle."""
    made: dict[str, Artifact] = {}

    def make(store: Store, record: dict[str, Any]) -> Artifact:
        if store.url not in made:
            parents = (
                Parent(role, **given, artifact=find(**given)) for role, given in record["inputs"].items()
            )
            kind, name, counts = (record[key] for key in ("kind", "name", "counts"))
            made[store.url] = Artifact(store, store.url, kind, name, counts, record, tuple(parents))
        return made[store.url]

    def find(path: str, hash: str) -> Artifact | None:
        same = [entry for entry in records if entry[1]["hash"] == hash]
        # Equal runs in two folders have equal hashes.
        same.sort(key=lambda entry: not entry[0].url.endswith(path))
        return make(*same[0]) if same else None

    for store, record in records:
        make(store, record)
    return list(made.values())
