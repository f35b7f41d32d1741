"""What a report is about: the finished artifacts below some folders, and which was made from which."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict

from framework.core.artifact import read_part, read_record
from framework.core.errors import StorageError
from framework.core.storage import Store
from framework.imaging.overlay import colour_of, data_address


@dataclass(frozen=True)
class Parent:
    """An input by role ("corpus", "model", …): where it was, and its artifact if that is a source."""

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

    def made_from(self, role: str) -> str:
        """The name of that parent."""
        parent = self.parent(role)
        return parent.name if parent else f"a {role} that is not recorded"


def class_colours(names: Iterable[str]) -> list[dict[str, str]]:
    """Names and colours of the foreground classes, for a legend."""
    return [{"name": name, "colour": colour_of(i)} for i, name in enumerate(names, start=1)]


class Picture(BaseModel):
    """What a list of pictures says of one: its file beside the list, and what stands below it."""

    model_config = ConfigDict(extra="allow")
    file: str


def read_pictures(store: Store, name: str) -> list[dict[str, Any]]:
    """A list of pictures, with their data; raises `StorageError` where the file holds something else."""
    return with_data(store, map(dict, read_part(store, name, list[Picture])))


def with_data(store: Store, entries: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Entries with their `file`, a picture in a store, as an address that holds it whole."""
    return [entry | {"data": data_address(store.read_bytes(entry["file"]))} for entry in entries]


def gather(sources: Iterable[Store]) -> list[Artifact]:
    """The finished artifacts in `sources`, inputs before what was made from them; a source is an artifact's
    folder, or one with such folders in it, or else a `StorageError`."""
    records: dict[str, tuple[Store, dict[str, Any]]] = {}
    for source in sources:
        below = [] if source.exists("artifact.json") else [source / name for name in source.names()]
        stores = [store for store in below or [source] if store.exists("artifact.json")]
        if not stores:
            where = f"{source.url}: no artifact.json here or one folder below"
            raise StorageError(f"{where}; name a finished artifact or a run's folder")
        records |= {store.url: (store, read_record(store)) for store in stores}
    return _linked(list(records.values()))


def _linked(records: list[tuple[Store, dict[str, Any]]]) -> list[Artifact]:
    """Depth first, parents before children; a hash contains its inputs' hashes, so there is no cycle."""
    made: dict[str, Artifact] = {}

    def make(store: Store, record: dict[str, Any]) -> Artifact:
        if store.url not in made:
            inputs = record["inputs"].items()
            parents = tuple(Parent(role, **given, artifact=find(**given)) for role, given in inputs)
            kind, name, counts = (record[key] for key in ("kind", "name", "counts"))
            made[store.url] = Artifact(store, store.url, kind, name, counts, record, parents)
        return made[store.url]

    def find(path: str, hash: str) -> Artifact | None:
        same = [entry for entry in records if entry[1]["hash"] == hash]
        same.sort(key=lambda entry: not entry[0].url.endswith(path))  # equal runs have equal hashes
        return make(*same[0]) if same else None

    for store, record in records:
        make(store, record)
    return list(made.values())
