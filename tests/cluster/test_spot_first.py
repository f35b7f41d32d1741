"""Spot first, and what is on demand while there is no spot, by the scheduler of Ray's own autoscaler."""

from __future__ import annotations

import sys
from typing import Any
from unittest.mock import MagicMock

import pytest
from ray.autoscaler.node_launch_exception import NodeLaunchException

from framework.cluster.rules import GCP_PROVIDER, SCORER
from framework.cluster.spot_first import score
from tests.cluster.support import Autoscaler

GPU = {"CPU": 8, "GPU": 1}
CONFIG = {
    "max_workers": 8,
    "head_node_type": "head",
    "cluster_name": "scantseg",
    "auth": {},
    "available_node_types": {
        "head": {"resources": {"CPU": 0, "driver": 8}, "max_workers": 0, "node_config": {}},
        "gpu-on-demand": {"resources": GPU, "max_workers": 8, "node_config": {}},
        "gpu-spot": {"resources": GPU, "max_workers": 8, "node_config": {}},
        "cpu": {"resources": {"CPU": 8}, "max_workers": 8, "node_config": {}},
    },
}


@pytest.fixture(autouse=True)
def scorer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(*SCORER.split("="))


def exhausted(*_: Any) -> None:
    raise NodeLaunchException("InsufficientInstanceCapacity", "no g5.2xlarge", None)


def test_the_scorer_is_the_one_that_the_head_names() -> None:
    assert Autoscaler(CONFIG, MagicMock()).scheduler.utilization_scorer is score


def test_spot_comes_first_and_is_left_while_there_is_none() -> None:
    provider = MagicMock()
    autoscaler = Autoscaler(CONFIG, provider)
    assert autoscaler.wants({"GPU": 1}) == {"gpu-spot": 1}
    provider.create_node_with_resources_and_labels.side_effect = exhausted
    autoscaler.launch("gpu-spot")
    assert autoscaler.wants({"GPU": 1}) == {"gpu-on-demand": 1}
    provider.create_node_with_resources_and_labels.side_effect = None
    autoscaler.launch("gpu-spot")
    assert autoscaler.wants({"GPU": 1}) == {"gpu-spot": 1}


def test_rays_own_scorer_asks_for_the_same_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_AUTOSCALER_UTILIZATION_SCORER")
    provider = MagicMock()
    provider.create_node_with_resources_and_labels.side_effect = exhausted
    autoscaler = Autoscaler(CONFIG, provider)
    before = autoscaler.wants({"GPU": 1})
    autoscaler.launch("gpu-spot")
    assert autoscaler.wants({"GPU": 1}) == before == {"gpu-spot": 1}


def test_work_without_a_gpu_takes_none() -> None:
    assert Autoscaler(CONFIG, MagicMock()).wants({"CPU": 4}) == {"cpu": 1}


def test_what_no_machine_can_give_starts_none() -> None:
    assert Autoscaler(CONFIG, MagicMock()).wants({"GPU": 4}) == {}


@pytest.fixture
def google(monkeypatch: pytest.MonkeyPatch) -> type:
    """Our provider of Google's machines, over Ray's own without Google's packages."""
    for name in ("googleapiclient", "googleapiclient.discovery", "googleapiclient.errors", "httplib2"):
        monkeypatch.setitem(sys.modules, name, MagicMock())
    monkeypatch.setitem(sys.modules, "google_auth_httplib2", MagicMock())
    from ray.autoscaler._private.providers import _get_node_provider_cls

    return _get_node_provider_cls({"type": "external", "module": GCP_PROVIDER})


def test_google_too_falls_back(google: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray's own provider of Google's machines raises an error of no kind, which the autoscaler forgets."""
    refused = Exception({"errors": [{"code": "ZONE_RESOURCE_POOL_EXHAUSTED"}]})
    monkeypatch.setattr(google.__base__, "create_node", MagicMock(side_effect=refused))
    autoscaler = Autoscaler(CONFIG, google.__new__(google))
    autoscaler.launch("gpu-spot")
    assert autoscaler.wants({"GPU": 1}) == {"gpu-on-demand": 1}
