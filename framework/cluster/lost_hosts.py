"""Hosts of a cluster that go away while a group of processes works on it."""

import importlib
import time
from dataclasses import replace

from framework.cluster.nodes import present_nodes
from framework.cluster.resources import Processes
from framework.core.callbacks import Log
from framework.core.errors import ResourceError
from framework.core.waiting import Wait

LOOK_S = 2.0
"""Seconds between two looks at which hosts there are."""


class LostHosts:
    """Says that a host of the cluster went away, and what a group of processes waits for since."""

    def __init__(self, wanted: Processes, minutes: float, log: Log) -> None:
        self.wanted, self.minutes, self.log = wanted, minutes, log
        self.alive, self.due = hosts()[0], 0.0
        self.wait: Wait | None = None

    def look(self) -> None:
        """To be called often; looks every few seconds."""
        if time.monotonic() < self.due:
            return
        self.due = time.monotonic() + LOOK_S
        alive, lost = hosts()
        missing = self.wanted.count - self.wanted.room(present_nodes())
        if missing <= 0:
            self._is_whole(bool(self.alive & lost))
        elif self.wait is None and self.alive & lost:
            what = f"host lost, waiting for {replace(self.wanted, count=missing)}"
            self.wait = Wait(what, self.minutes, self.log, patience=0)
        if self.wait is not None:
            self.wait.say()
        self.alive = alive

    def is_awaited(self) -> bool:
        """Whether the group waits for another host."""
        return self.wait is not None

    def require_hope(self, setting: str) -> None:
        """Raise `ResourceError` where it has waited for all of its minutes, which that setting says."""
        if self.wait is not None and self.wait.is_over():
            fault = f"waited {self.minutes:g} min for hosts in place of those that were lost"
            raise ResourceError(f"{fault}; the same command continues when hosts are back; see {setting}")

    def _is_whole(self, has_lost: bool) -> None:
        if self.wait is not None or has_lost:
            self.log("host lost, the others have room: the work goes on")
        self.wait = None


def hosts() -> tuple[set[str], set[str]]:
    """Nodes that are there, and those that went away without having been sent away."""
    import ray

    reasons = importlib.import_module("ray.core.generated.common_pb2").NodeDeathInfo
    sent = (reasons.EXPECTED_TERMINATION, reasons.AUTOSCALER_DRAIN_IDLE)
    table = ray.nodes()
    alive = {each["NodeID"] for each in table if each["Alive"]}
    return alive, {e["NodeID"] for e in table if not e["Alive"] and e["DeathReason"] not in sent}
