"""What a report is about: the finished artefacts below some folders, and which was made from which."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from framework.errors import StorageError
from framework.storage import Store


@dataclass(frozen=True)
class Parent:
    """An input of an artefact: its part ("corpus", "model", …), where it was, its hash, and the artefact if it is a source too."""

    role: str
    path: str
    hash: str
    artefact: Artefact | None

    @property
    def key(self) -> str:
        return self.artefact.key if self.artefact else self.hash

    @property
    def name(self) -> str:
        return self.path.rsplit("/", 1)[-1]


@dataclass(frozen=True)
class Artefact:
    """A finished artefact: its folder, its `artefact.json` and its inputs."""

    store: Store
    record: dict[str, Any]
    parents: tuple[Parent, ...]

    @property
    def key(self) -> str:
        return self.store.url

    @property
    def kind(self) -> str:
        return self.record["kind"]

    @property
    def name(self) -> str:
        return self.record["name"]

    @property
    def counts(self) -> dict[str, Any]:
        return self.record["counts"]

    def parent(self, role: str) -> Parent | None:
        return next((parent for parent in self.parents if parent.role == role), None)


def origin(evaluation: Artefact) -> dict[str, Any]:
    """Of an evaluation: its name, and the model and corpus that it was made from."""
    model, corpus = evaluation.parent("model"), evaluation.parent("corpus")
    return {
        "name": evaluation.name,
        "model": model.name if model else "a model that is not recorded",
        "model_key": model.key if model else None,
        "corpus": corpus.name if corpus else "a corpus that is not recorded",
    }


def gather(sources: Iterable[Store]) -> list[Artefact]:
    """The finished artefacts in `sources`, inputs before what was made from them.

    A source is an artefact's folder or a run's root with such folders in it. Raises `StorageError` for a source without any.
    """
    found: dict[str, tuple[Store, dict[str, Any]]] = {}
    for source in sources:
        stores = _artefact_stores(source)
        if not stores:
            raise StorageError(
                f"{source.url}: no artefact.json here or one folder below; name a finished artefact or a run's folder"
            )
        found |= {store.url: (store, store.read_json("artefact.json")) for store in stores}
    return _linked(list(found.values()))


def _artefact_stores(source: Store) -> list[Store]:
    if source.exists("artefact.json"):
        return [source]
    return [source / name for name in source.names() if (source / name).exists("artefact.json")]


def _linked(held: list[tuple[Store, dict[str, Any]]]) -> list[Artefact]:
    """Depth first, so that parents exist before their children; a hash contains its inputs' hashes, so there is no cycle."""
    made: dict[str, Artefact] = {}

    def make(store: Store, record: dict[str, Any]) -> Artefact:
        if store.url not in made:
            inputs = record["inputs"].items()
            parents = tuple(Parent(role, i["path"], i["hash"], find(i["path"], i["hash"])) for role, i in inputs)
            made[store.url] = Artefact(store, record, parents)
        return made[store.url]

    def find(path: str, hash: str) -> Artefact | None:
        same = [(store, record) for store, record in held if record["hash"] == hash]
        same.sort(key=lambda entry: not entry[0].url.endswith(path))  # equal runs in two folders have equal hashes
        return make(*same[0]) if same else None

    for store, record in held:
        make(store, record)
    return list(made.values())
