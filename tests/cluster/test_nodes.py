"""What of a cluster may still come, by its autoscaler's file; without a cluster."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import ray
import yaml

from framework.cluster import nodes
from framework.cluster.nodes import HEAD, Autoscaler, Node, autoscaler, described

HEAD_NODE = Node({HEAD: 1.0, "CPU": 1.0}, {})
CLOUD = {
    "max_workers": 3,
    "head_node_type": "head",
    "available_node_types": {
        "head": {"resources": {"CPU": 1}},
        "gpu": {"resources": {"CPU": 8, "GPU": 1}, "labels": {"market": "spot"}, "max_workers": 2},
        "cpu": {"resources": {"CPU": 4}},
    },
}
LOCAL = {
    "max_workers": 2,
    "head_node_type": "local.cluster.node",
    "available_node_types": {"local.cluster.node": {"resources": {}, "max_workers": 2}},
}


@pytest.mark.parametrize(
    ("rule", "label", "selects"),
    [
        *(("spot", "spot", True), ("spot", "x", False), ("!spot", "x", True), ("!spot", "spot", False)),
        *(
            ("in(a,b)", "b", True),
            ("in(a, b)", "c", False),
            ("!in(a,b)", "a", False),
            ("!in(a,b)", "c", True),
        ),
    ],
)
def test_a_selector_selects_as_ray_does(rule: str, label: str, selects: bool) -> None:
    assert Node({}, {"key": label}).has_labels({"key": rule}) == selects


def test_a_node_that_is_not_there_may_come_with_labels_that_nobody_named() -> None:
    selector = {"ray.io/accelerator-type": "A100"}
    assert not Node({}, {}).has_labels(selector)
    assert Node({}, {}, is_there=False).has_labels(selector)
    assert not Node({}, {"ray.io/accelerator-type": "T4"}, is_there=False).has_labels(selector)


def test_an_autoscaler_may_start_as_many_of_each_kind_as_its_file_says() -> None:
    scaler = described(CLOUD)
    assert scaler is not None
    present = [HEAD_NODE, Node({"CPU": 8.0, "GPU": 1.0}, {})]
    possible = scaler.possible_nodes(present)
    assert possible is not None and possible[0] == HEAD_NODE
    assert [node.resources.get("GPU", 0) for node in possible] == [0, 1, 1, 0, 0, 0]


def test_machines_that_stand_ready_are_unknown_until_all_are_there() -> None:
    scaler = described(LOCAL)
    assert scaler is not None
    assert scaler.possible_nodes([HEAD_NODE]) is None
    present = [HEAD_NODE, Node({"CPU": 2.0}, {}), Node({"CPU": 2.0}, {})]
    assert scaler.possible_nodes(present) == present


@pytest.fixture
def on_head(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    context = SimpleNamespace(get_node_id=lambda: "a", gcs_address="10.0.0.1:6379")
    monkeypatch.setattr(ray, "get_runtime_context", lambda: context)
    monkeypatch.setattr(ray, "nodes", lambda: [{"NodeID": "a", "Alive": True, "Resources": {HEAD: 1.0}}])
    return monkeypatch


def running(*commands: list[str]) -> object:
    return lambda fields: [SimpleNamespace(info={"cmdline": words}) for words in commands]


def monitor(address: str, *words: str) -> list[str]:
    return [sys.executable, "-u", "/ray/autoscaler/_private/monitor.py", f"--gcs-address={address}", *words]


def test_the_autoscaler_is_that_of_our_cluster(on_head: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "cluster.yaml"
    file.write_text(yaml.safe_dump(CLOUD, sort_keys=False))
    theirs, ours = monitor("10.0.0.9:6379"), monitor("10.0.0.1:6379", f"--autoscaling-config={file}")
    on_head.setattr(psutil, "process_iter", running(theirs, ours))
    assert autoscaler() == described(CLOUD)


def test_a_cluster_without_one_has_what_it_has(on_head: pytest.MonkeyPatch) -> None:
    on_head.setattr(psutil, "process_iter", running(monitor("10.0.0.1:6379")))
    assert autoscaler() is None


def test_of_an_autoscaler_elsewhere_nobody_knows_what_it_may_start(on_head: pytest.MonkeyPatch) -> None:
    """As on Kubernetes, where it is in another container."""
    log_monitor = ["python", "/ray/_private/log_monitor.py", "--gcs-address=10.0.0.1:6379"]
    on_head.setattr(psutil, "process_iter", running(log_monitor))
    assert autoscaler() == Autoscaler(None)
    on_head.setattr(nodes, "present_nodes", lambda: [HEAD_NODE])
    assert nodes.most_nodes() is None
