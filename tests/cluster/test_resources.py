"""What processes need, and what is said while a cluster has no room for them; without a cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import ray.util

from framework.cluster import resources
from framework.cluster.nodes import HEAD, Autoscaler, Node
from framework.cluster.resources import Needs, Processes, wait_for_room
from framework.core import waiting
from framework.core.config_files import parse
from framework.core.errors import ConfigError, ResourceError

TWO = Processes(2, {"CPU": 1, "GPU": 1})


def node(cpus: float, gpus: float = 0, **labels: str) -> Node:
    return Node({"CPU": cpus, "GPU": gpus}, labels)


class Cluster:
    """What Ray says of a cluster, one look after the other."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.free: list[Node] = []
        self.present: list[Node] = []
        self.scaler: Autoscaler | None = None
        self.asked: list[tuple] = []
        self.removed: list[object] = []
        self.ready: Iterator[bool] = iter([])
        monkeypatch.setattr(resources, "free_nodes", lambda: self.free)
        monkeypatch.setattr(resources, "present_nodes", lambda: self.present)
        monkeypatch.setattr(resources, "autoscaler", lambda: self.scaler)
        monkeypatch.setattr(ray.util, "placement_group", self.ask)
        monkeypatch.setattr(ray.util, "remove_placement_group", self.removed.append)

    def ask(self, bundles: list, strategy: str, bundle_label_selector: list) -> Cluster:
        self.asked.append((bundles, strategy, bundle_label_selector))
        return self

    def wait(self, seconds: int) -> bool:
        return next(self.ready)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    return Cluster(monkeypatch)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Sets the time."""
    now = [0.0]
    monkeypatch.setattr(waiting.time, "monotonic", lambda: now[0])

    def set_to(seconds: float) -> None:
        now[0] = seconds

    return set_to


def test_a_cluster_with_room_is_asked_for_nothing(cluster: Cluster) -> None:
    cluster.free = [node(1, 1), node(1, 1)]
    said: list[str] = []
    wait_for_room(TWO, "compute.workers", 30, said.append)
    assert said == [] and cluster.asked == []


@pytest.mark.parametrize(
    ("present", "has"),
    [
        ([node(4), node(4)], "the cluster has room for 0: no node has 1 GPU"),
        ([node(4, 1)], "the cluster has room for 1"),
    ],
)
def test_what_is_not_there_is_refused_at_once_where_no_node_can_come(
    present: list[Node], has: str, cluster: Cluster
) -> None:
    cluster.present = present
    with pytest.raises(ResourceError) as error:
        wait_for_room(TWO, "compute.workers", 30)
    fault = f"compute.workers: 2 x (1 CPU, 1 GPU) wanted, but {has}"
    assert str(error.value) == f"{fault}; lower compute.workers, or what each owns"


def test_what_no_node_can_ever_give_is_refused_at_once(cluster: Cluster) -> None:
    cluster.present = [Node({HEAD: 1.0}, {})]
    cluster.scaler = Autoscaler(((node(8, 1), 1),), 4)
    with pytest.raises(ResourceError, match="all nodes that the cluster may start have room for 1; lower"):
        wait_for_room(TWO, "compute.workers", 30)
    with pytest.raises(ResourceError, match="room for 0: no node has A100; lower actors"):
        wait_for_room(Processes(1, {"CPU": 1, "accelerator_type:A100": 0.001}), "actors", 30)
    assert cluster.asked == []


def test_nodes_that_may_come_are_asked_and_waited_for_with_a_line_now_and_then(
    cluster: Cluster, clock: Callable[[float], None]
) -> None:
    cluster.scaler = Autoscaler(((Node({"CPU": 8, "GPU": 1}, {}, is_there=False), 2),), 4)

    def course() -> Iterator[bool]:
        for seconds in (1, 6, 50, 66, 130):
            clock(seconds)
            yield False
        cluster.present = [node(8, 1, market="spot"), node(8, 1, market="spot")]
        clock(200)
        yield False
        yield True

    cluster.ready = course()
    said: list[str] = []
    spread = Processes(2, TWO.resources, "SPREAD", {"market": "spot"})
    wait_for_room(spread, "compute.workers", 30, said.append)
    what = "waiting for 2 x (1 CPU, 1 GPU) on market=spot:"
    assert said == [
        f"{what} 0 min of 30; the cluster is starting nodes",
        f"{what} 1 min of 30; the cluster is starting nodes",
        f"{what} 2 min of 30; the cluster is starting nodes",
        f"{what} 3 min of 30; other work of the cluster has the rest",
    ]
    assert cluster.asked == [([{"CPU": 1, "GPU": 1}] * 2, "SPREAD", [{"market": "spot"}] * 2)]
    assert cluster.removed == [cluster]


def test_other_work_is_waited_for_until_the_minutes_are_over(
    cluster: Cluster, clock: Callable[[float], None]
) -> None:
    cluster.present = [node(2, 2)]

    def course() -> Iterator[bool]:
        for seconds in (10, 1801):
            clock(seconds)
            yield False

    cluster.ready = course()
    said: list[str] = []
    with pytest.raises(ResourceError) as error:
        wait_for_room(TWO, "run.compute.workers", 30, said.append)
    why = "other work of the cluster has the rest"
    assert said == [f"waiting for 2 x (1 CPU, 1 GPU): 0 min of 30; {why}"]
    fault = f"run.compute.workers: waited 30 min for 2 x (1 CPU, 1 GPU); {why}"
    assert str(error.value) == f"{fault}; run the same command later, or raise run.compute.wait_minutes"
    assert cluster.removed == [cluster]


@pytest.mark.parametrize(
    ("placement", "room"), [("PACK", 5), ("SPREAD", 5), ("STRICT_PACK", 4), ("STRICT_SPREAD", 2)]
)
def test_room_is_what_the_placement_allows(placement: resources.Placement, room: int) -> None:
    nodes = [node(4), node(1.5), node(0.5)]
    assert Processes(2, {"CPU": 1}, placement).room(nodes) == room


def test_shares_fill_a_gpu_and_labels_leave_nodes_out() -> None:
    nodes = [node(8, 1, zone="a"), node(8, 1, zone="b")]
    assert Processes(1, {"CPU": 1, "GPU": 0.1}).room(nodes) == 16
    assert Processes(1, {"CPU": 0.5, "GPU": 0.1}).room(nodes) == 20
    assert Processes(1, {"CPU": 1, "GPU": 0.5}, labels={"zone": "b"}).room(nodes) == 2


def test_needs_are_ray_s_resources() -> None:
    needs = parse({"gpu": True, "accelerator": "A100", "resources": {"fast": 2}}, Needs)
    assert needs.owned(4) == {"CPU": 4, "GPU": 1.0, "accelerator_type:A100": 0.001, "fast": 2.0}
    assert parse({"gpu": False}, Needs).owned(1) == {"CPU": 1}
    assert str(Processes(1, needs.owned(4))) == "4 CPU, 1 GPU, A100, 2 fast"


def test_a_gpu_and_a_half_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"a share of one GPU, such as 0\.25"):
        parse({"gpu": 1.5}, Needs)
