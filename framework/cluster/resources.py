"""What the processes of a job own, and the wait for a cluster that has room for them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field

from framework.cluster.nodes import Autoscaler, Node, autoscaler, free_nodes, present_nodes
from framework.core.callbacks import Log
from framework.core.errors import ResourceError
from framework.core.settings import PLACEMENT, Settings
from framework.core.waiting import Wait, say

PATIENCE_S = 5.0
"""Seconds until it is said what is waited for: a run before may just be leaving."""
ACCELERATOR = "accelerator_type:"
"""Begins Ray's name of the resource that nodes with an accelerator have."""

Placement = Literal["PACK", "SPREAD", "STRICT_PACK", "STRICT_SPREAD"]
"""On as few hosts as possible, on as many; strictly: on one, or each on another."""


def _whole_or_share(gpus: float) -> float:
    if gpus > 1 and gpus % 1:
        raise ValueError("a share of one GPU, such as 0.25, or a whole number of them")
    return gpus


class Needs(Settings):
    """What each process of a job needs of a platform."""

    model_config = ConfigDict(use_attribute_docstrings=True)
    gpu: Annotated[float, Field(ge=0), AfterValidator(_whole_or_share), PLACEMENT] = 0.0
    """GPUs of each process: 0.25 is a share of one, `true` reads as 1."""
    accelerator: Annotated[str | None, PLACEMENT] = None
    """Kind of accelerator by Ray's name, such as A100; none takes any."""
    resources: Annotated[dict[str, float], PLACEMENT] = {}
    """NAME=AMOUNT: What else each process owns of the cluster's own resources."""
    labels: Annotated[dict[str, str], PLACEMENT] = {}
    """NAME=VALUE: Labels of the nodes to use, also `!VALUE` and `in(A,B)`."""
    wait_minutes: Annotated[float, Field(gt=0), PLACEMENT] = 30.0
    """Minutes to wait for nodes, or for other work of the cluster to end."""

    def owned(self, cpus: float) -> dict[str, float]:
        """What one process owns, by Ray's names."""
        gpu = {"GPU": self.gpu} if self.gpu else {}
        accelerator = {ACCELERATOR + self.accelerator: 0.001} if self.accelerator else {}
        return {"CPU": cpus, **gpu, **accelerator, **self.resources}


@dataclass(frozen=True)
class Processes:
    """So many processes of a job, what each of them owns, and where they may be."""

    count: int
    resources: Mapping[str, float]
    """What one process owns, by Ray's names."""
    placement: Placement = "PACK"
    labels: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        each = ", ".join(_named(kind, amount) for kind, amount in self.resources.items())
        where = "".join(f" on {key}={value}" for key, value in self.labels.items())
        apart = {"STRICT_PACK": " on one host", "STRICT_SPREAD": " on a host each"}.get(self.placement, "")
        return f"{each}{where}" if self.count == 1 else f"{self.count} x ({each}){where}{apart}"

    def room(self, nodes: list[Node]) -> int:
        """How many of such processes the nodes have room for."""
        fit = [self._fit(node) for node in nodes]
        if self.placement == "STRICT_PACK":
            return max(fit, default=0)
        return sum(min(1, each) if self.placement == "STRICT_SPREAD" else each for each in fit)

    def _fit(self, node: Node) -> int:
        if not node.has_labels(self.labels):
            return 0
        return min(int(node.resources.get(kind, 0) / each + 1e-6) for kind, each in self.resources.items())


def _named(kind: str, amount: float) -> str:
    return kind.removeprefix(ACCELERATOR) if kind.startswith(ACCELERATOR) else f"{amount:g} {kind}"


def wait_for_room(wanted: Processes, setting: str, minutes: float, log: Log | None = None) -> None:
    """Return when the cluster has room for the processes, at once where it has it now.

    Where it has not, an autoscaler hears of them; `log` hears what is waited for, and for how long. The key
    `setting` says how many there are. Raises `ResourceError` at once for what no node can ever give, and
    after so many minutes.
    """
    if wanted.room(free_nodes()) >= wanted.count:
        return
    present, scaler = present_nodes(), autoscaler()
    if wanted.room(present) < wanted.count:
        _require_possible(wanted, present, scaler, setting)
    _wait(wanted, setting, Wait(f"waiting for {wanted}", minutes, log or say, PATIENCE_S))


def _require_possible(
    wanted: Processes, present: list[Node], scaler: Autoscaler | None, setting: str
) -> None:
    nodes = scaler.possible_nodes(present) if scaler else present
    if nodes is None or (room := wanted.room(nodes)) >= wanted.count:
        return
    lacking = [
        _named(kind, amount)
        for kind, amount in wanted.resources.items()
        if all(node.resources.get(kind, 0) < amount for node in nodes)
    ]
    who = "all nodes that the cluster may start have" if scaler else "the cluster has"
    has = f"{who} room for {room}{': no node has ' if lacking else ''}{' and '.join(lacking)}"
    mend = f"lower {setting}, or what each owns"
    raise ResourceError(f"{setting}: {wanted} wanted, but {has}; {mend}")


def _wait(wanted: Processes, setting: str, wait: Wait) -> None:
    """By a placement group, which autoscalers count among what is asked for."""
    from ray.util import placement_group, remove_placement_group

    bundles = [dict(wanted.resources)] * wanted.count
    group = placement_group(
        bundles, wanted.placement, bundle_label_selector=[dict(wanted.labels)] * wanted.count
    )
    try:
        while not group.wait(1):
            has_room = wanted.room(present_nodes()) >= wanted.count
            why = "other work of the cluster has the rest" if has_room else "the cluster is starting nodes"
            if wait.is_over():
                key = f"{setting[: setting.rfind('.') + 1]}wait_minutes"
                fault = f"waited {wait.minutes:g} min for {wanted}; {why}"
                raise ResourceError(f"{setting}: {fault}; run the same command later, or raise {key}")
            wait.say(why)
    finally:
        remove_placement_group(group)
