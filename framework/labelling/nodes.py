"""Whether the nodes that do a job's work see its corpus, its models and its folder as its driver does."""

import contextlib
import socket
from collections.abc import Iterable, Mapping
from typing import Any

from framework.core.artifact import Input
from framework.core.errors import StorageError
from framework.core.storage import Store
from framework.training.shared import OWN_DISK, Unseen, told, unseen


def require_shared_by_nodes(out: Store, word: str, inputs: Mapping[str, Input]) -> None:
    """Raise `StorageError` where a node that may do the work does not see the layer's folder, marked with
    that word, or what the job reads. Ray Data tells such a fault by a trace, or not at all where rows are
    written to another disk."""
    import ray
    from ray.exceptions import RayError
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    look, seen = ray.remote(num_cpus=0)(_look), []
    for node in others(ray.nodes(), ray.get_runtime_context().get_node_id()):
        there = NodeAffinitySchedulingStrategy(node, soft=False)
        seen.append(look.options(scheduling_strategy=there).remote(out, word, dict(inputs)))
    ranks: list[Unseen] = []
    for each in seen:
        with contextlib.suppress(RayError):  # a node that has left does no work
            ranks.append(ray.get(each))
    if faults := told(ranks):
        raise StorageError(f"{faults}: {OWN_DISK}")


def others(nodes: Iterable[Mapping[str, Any]], own: str) -> list[str]:
    """The ids of the nodes beside the driver's that tasks may run on."""
    able = (node for node in nodes if node["Alive"] and node["Resources"].get("CPU"))
    return [node["NodeID"] for node in able if node["NodeID"] != own]


def _look(out: Store, word: str, inputs: dict[str, Input]) -> Unseen:
    return socket.gethostname(), unseen(out, word, inputs)
