"""What is said when a host goes away, without a cluster."""

from __future__ import annotations

import pytest
import ray

from framework.cluster import lost_hosts
from framework.cluster.lost_hosts import LostHosts
from framework.cluster.resources import Processes
from framework.core.errors import ResourceError

UNEXPECTED, IDLE = 2, 4
"""Ray's numbers of why a node ended."""


class Cluster:
    """Nodes of one processor by name, and the clock."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
        self.nodes = {name: 0 for name in names}
        self.now = 0.0
        monkeypatch.setattr(ray, "nodes", self.table)
        monkeypatch.setattr(lost_hosts.time, "monotonic", lambda: self.now)
        self.said: list[str] = []
        self.watch = LostHosts(Processes(2, {"CPU": 1}), 30, self.said.append)

    def table(self) -> list[dict]:
        return [
            {"NodeID": name, "Alive": not why, "DeathReason": why, "Resources": {"CPU": 1.0}, "Labels": {}}
            for name, why in self.nodes.items()
        ]

    def after(self, seconds: float, **nodes: int) -> list[str]:
        """What is said then."""
        self.now += seconds
        self.nodes |= nodes
        self.said.clear()
        self.watch.look()
        return list(self.said)


def test_a_lost_host_is_a_line_until_another_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster(monkeypatch, "a", "b")
    assert cluster.after(5) == []
    assert cluster.after(5, b=UNEXPECTED) == ["host lost, waiting for 1 CPU: 0 min of 30"]
    assert cluster.after(30) == [] and cluster.watch.is_awaited()
    assert cluster.after(90) == ["host lost, waiting for 1 CPU: 2 min of 30"]
    back = ["host lost, the others have room: the work goes on"]
    assert cluster.after(5, c=0) == back and not cluster.watch.is_awaited()
    assert cluster.after(5) == []


def test_the_wait_for_another_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster(monkeypatch, "a", "b")
    cluster.after(5, b=UNEXPECTED)
    cluster.after(1790)
    cluster.watch.require_hope("compute.wait_minutes")
    cluster.after(20)
    with pytest.raises(ResourceError, match=r"^waited 30 min for hosts .* see compute\.wait_minutes"):
        cluster.watch.require_hope("compute.wait_minutes")


def test_a_lost_host_beside_others_with_room_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster(monkeypatch, "a", "b", "c")
    assert len(cluster.after(5, b=UNEXPECTED)) == 1
    assert cluster.after(5) == []


def test_a_host_that_the_autoscaler_sent_away_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster(monkeypatch, "a", "b", "c")
    assert cluster.after(5, c=IDLE) == []
