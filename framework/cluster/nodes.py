"""Nodes of a Ray cluster: those that are there, what of them is free, and those that it may still start."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

HEAD = "node:__internal_head__"
"""The resource that Ray gives to the head alone."""


@dataclass(frozen=True)
class Node:
    """A node, or one that may be started."""

    resources: Mapping[str, float]
    """What it has, or has free, by Ray's names."""
    labels: Mapping[str, str]
    is_there: bool = True
    """One that is not there yet may come with labels that nobody has named, such as its accelerator's."""

    @property
    def is_head(self) -> bool:
        return HEAD in self.resources

    def has_labels(self, selector: Mapping[str, str]) -> bool:
        """Whether it has the labels of Ray's selector: `spot`, `!spot`, `in(a,b)`, `!in(a,b)`."""
        return all(
            _selects(rule, self.labels.get(key, ""))
            for key, rule in selector.items()
            if self.is_there or key in self.labels
        )


def _selects(rule: str, label: str) -> bool:
    names = rule.removeprefix("!").removeprefix("in(").removesuffix(")").split(",")
    return (label in map(str.strip, names)) != rule.startswith("!")


def present_nodes() -> list[Node]:
    """The nodes of the cluster, with all that they have."""
    import ray

    return [Node(each["Resources"], each["Labels"]) for each in ray.nodes() if each["Alive"]]


def free_nodes() -> list[Node]:
    """The nodes of the cluster, with what nobody uses."""
    import ray
    from ray._private.state import available_resources_per_node

    free = available_resources_per_node()
    known = [each for each in ray.nodes() if each["Alive"]]
    return [Node(free.get(each["NodeID"], {}), each["Labels"]) for each in known]


@dataclass(frozen=True)
class Autoscaler:
    """What starts nodes when somebody asks for more than there is."""

    types: tuple[tuple[Node, int], ...] | None
    """Nodes that it starts beside the head, and how many of each at most; None where nobody says."""
    most: int = 0
    """Nodes beside the head at most."""

    def possible_nodes(self, present: list[Node]) -> list[Node] | None:
        """The head, and all that it may start; None where that is not known: machines that stand ready have
        no resources before they are there."""
        if self.types is None:
            return None
        if all(node.resources for node, _ in self.types):
            started = [node for node, count in self.types for _ in range(min(count, self.most))]
            return [node for node in present if node.is_head] + started
        return present if len(present) > self.most else None


def autoscaler() -> Autoscaler | None:
    """That of the cluster; None where it has the nodes that it has.

    The autoscaler's own process on the head names the file that describes it. Where there is no such process
    the head was started without one, as KubeRay does, whose autoscaler is in another container.
    """
    import ray

    context = ray.get_runtime_context()
    heads = [each["NodeID"] for each in ray.nodes() if each["Alive"] and HEAD in each["Resources"]]
    if context.get_node_id() in heads:
        return described(_description(context.gcs_address))
    look = ray.remote(num_cpus=0, resources={HEAD: 0.001})(_description)
    return described(ray.get(look.remote(context.gcs_address)))


def most_nodes() -> list[Node] | None:
    """All nodes that the cluster can have; None where that is not known."""
    present, scaler = present_nodes(), autoscaler()
    return scaler.possible_nodes(present) if scaler else present


def described(file: dict[str, Any] | None) -> Autoscaler | None:
    """The autoscaler that a cluster's file describes: {} where there is none, None where it is unknown."""
    if file is None:
        return Autoscaler(None)
    if not file:
        return None
    most, head = file["max_workers"], file["head_node_type"]
    types = []
    for name, kind in file["available_node_types"].items():
        node = Node(kind.get("resources", {}), kind.get("labels", {}), is_there=False)
        if count := kind.get("max_workers", 0 if name == head else most):
            types.append((node, count))
    return Autoscaler(tuple(types), most)


def _description(address: str) -> dict[str, Any] | None:
    """On the head: the file of the cluster's autoscaler, {} where the one that runs may start nothing."""
    for words in _monitors(address):
        files = [word.partition("=")[2] for word in words if word.startswith("--autoscaling-config=")]
        return yaml.safe_load(Path(files[0]).expanduser().read_text()) if files else {}
    return None


def _monitors(address: str) -> Iterator[list[str]]:
    """Command lines of the autoscalers of the cluster with that address."""
    import psutil

    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if f"--gcs-address={address}" in words and any(word.endswith("/monitor.py") for word in words):
            yield words
