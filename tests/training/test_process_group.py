"""By which interface ranks talk to each other."""

from __future__ import annotations

import os
import socket

import psutil
import pytest
import ray

from framework.training.process_group import choose_interface, interface_of

INTERFACES = {"lo": ["127.0.0.1"], "eth0": ["10.0.0.5", "fe80::1"]}


@pytest.mark.parametrize(("address", "name"), [("10.0.0.5", "eth0"), ("127.0.0.1", ""), ("10.0.0.9", "")])
def test_the_interface_is_that_of_the_cluster_s_address(address: str, name: str) -> None:
    assert interface_of(address, INTERFACES) == name


@pytest.mark.parametrize(
    ("resolved", "given", "chosen"),
    [
        ("127.0.1.1", None, "eth0"),
        (OSError("unknown name"), None, "eth0"),
        ("10.0.0.5", None, None),
        ("127.0.1.1", "ib0", "ib0"),
    ],
)
def test_it_is_named_where_the_host_s_name_leads_to_itself_alone(
    resolved: str | OSError, given: str | None, chosen: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def resolve(name: str) -> str:
        if isinstance(resolved, OSError):
            raise resolved
        return resolved

    monkeypatch.setattr(socket, "gethostbyname", resolve)
    monkeypatch.setattr(ray.util, "get_node_ip_address", lambda: "10.0.0.5")
    addresses = {
        name: [type("Address", (), {"address": each}) for each in all_] for name, all_ in INTERFACES.items()
    }
    monkeypatch.setattr(psutil, "net_if_addrs", lambda: addresses)
    monkeypatch.setattr(os, "environ", {"GLOO_SOCKET_IFNAME": given} if given else {})
    choose_interface()
    assert os.environ.get("GLOO_SOCKET_IFNAME") == chosen
