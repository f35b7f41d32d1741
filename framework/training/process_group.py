"""Torch's process group on Ray: by which interface its ranks talk to each other."""

import ipaddress
import os
import socket
from collections.abc import Mapping, Sequence
from typing import Any

from ray.train.torch import TorchConfig
from ray.train.torch.config import _TorchBackend


class ProcessGroup(TorchConfig):
    """As Ray's own, with an interface chosen on every host before its ranks meet."""

    @property
    def backend_cls(self) -> type:
        return _Backend


class _Backend(_TorchBackend):
    def on_start(self, worker_group: Any, backend_config: Any) -> None:
        worker_group.execute(choose_interface)
        super().on_start(worker_group, backend_config)


def choose_interface() -> None:
    """Where this host's own name leads to itself alone, name the interface that the cluster knows it by:
    gloo would give the others an address at which they find themselves."""
    import psutil
    import ray

    if "GLOO_SOCKET_IFNAME" not in os.environ and _leads_to_itself(socket.gethostname()):
        interfaces = {
            name: [each.address for each in addresses] for name, addresses in psutil.net_if_addrs().items()
        }
        if name := interface_of(ray.util.get_node_ip_address(), interfaces):
            os.environ["GLOO_SOCKET_IFNAME"] = name


def interface_of(address: str, interfaces: Mapping[str, Sequence[str]]) -> str:
    """The interface with that address; "" where there is none, or it is the host's own loop."""
    if ipaddress.ip_address(address).is_loopback:
        return ""
    return next((name for name, addresses in interfaces.items() if address in addresses), "")


def _leads_to_itself(host: str) -> bool:
    try:
        return ipaddress.ip_address(socket.gethostbyname(host)).is_loopback
    except OSError:  # a name that nobody knows: gloo takes the loop then
        return True
