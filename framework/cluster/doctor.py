"""What may be wrong with a machine or a cluster before the first job, each with its mend."""

import contextlib
import os
import shutil
import socket
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from framework.core.counting import several
from framework.core.errors import StorageError
from framework.core.ray_runtime import has_token
from framework.core.storage import Store
from framework.core.versions import Versions, versions

SHARED_MB, DISK_MB = 1024, 10_240
"""What Ray's objects want of /dev/shm, and what logs and a corpus want of a disk."""
SKEW_S = 5.0
"""Seconds by which clocks may differ: claims on a bucket are dated."""


@dataclass(frozen=True)
class Node:
    """What one machine says of itself."""

    host: str
    versions: Versions
    torch: str
    gpus: int
    nccl: str
    shared_mb: int
    disk_mb: int
    has_token: bool
    storage_fault: str
    """Why it cannot use the storage, such as a mount that it does not have; empty where it can."""


@dataclass(frozen=True)
class Line:
    """One line of the doctor's; without a mend all is well."""

    what: str
    mend: str = ""

    def __str__(self) -> str:
        return f"mend  {self.what}; {self.mend}" if self.mend else f"ok    {self.what}"


SAFE = Line("token: set on every machine")
DRIVERS = "workers of one training want the same devices and drivers"


def examine(storage: str | None, probe: str) -> Node:
    """Look at this machine; `probe` is the file that the storage has to have."""
    import torch
    from torch.cuda import nccl as library

    nccl = ".".join(map(str, library.version())) if torch.cuda.is_available() else "none"
    return Node(
        host=socket.gethostname(),
        versions=versions(),
        torch=torch.__version__,
        gpus=torch.cuda.device_count(),
        nccl=nccl,
        shared_mb=shutil.disk_usage("/dev/shm").total // 2**20,
        disk_mb=shutil.disk_usage(os.getcwd()).free // 2**20,
        has_token=has_token(),
        storage_fault=_fault_of(storage, probe) if storage else "",
    )


def _fault_of(storage: str, probe: str) -> str:
    store = Store.at(storage)
    try:
        store.require_writable()
        return "" if store.exists(probe) else "what another node wrote is not there"
    except StorageError as error:
        return str(error)


def examine_cluster(storage: str | None) -> tuple[list[Node], float]:
    """What this machine and then every node of the cluster say, and how many seconds clocks are apart."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy as On

    probe = f".doctor-{uuid.uuid4().hex[:12]}"
    if storage:
        with contextlib.suppress(StorageError):  # each machine says of itself why it cannot
            Store.at(storage).write_text(probe, "")
    alive = [On(node["NodeID"], soft=False) for node in ray.nodes() if node["Alive"]]
    ask, clock = ray.remote(num_cpus=0)(examine), ray.remote(num_cpus=0)(_now)
    asked = [ask.options(scheduling_strategy=there).remote(storage, probe) for there in alive]
    nodes = [examine(storage, probe), *ray.get(asked)]
    if storage:
        with contextlib.suppress(StorageError):
            Store.at(storage).remove(probe)
    return nodes, max(_apart(ray, clock.options(scheduling_strategy=there)) for there in alive)


def _now() -> float:
    return time.time()


def _apart(ray: Any, clock: Any) -> float:
    """By how many seconds a node's clock is before or after this one's, however long the answer takes."""
    before = time.time()
    there, after = ray.get(clock.remote()), time.time()
    return max(0.0, before - there, there - after)


def lines(nodes: Sequence[Node], storage: str | None, apart: float) -> list[Line]:
    """What the machines, of which the first is the one that asked, say together."""
    hosts = dict.fromkeys(node.host for node in nodes)
    return [
        Line(f"{several(len(hosts), 'machine')}: {', '.join(hosts)}"),
        _equal("versions", nodes, lambda node: _named(node.versions), "install the same on all"),
        _equal("torch", nodes, lambda node: node.torch, "install the same on all"),
        _equal("GPUs", nodes[1:] or nodes, lambda node: f"{node.gpus} (NCCL {node.nccl})", DRIVERS),
        _enough("shared memory", nodes, lambda node: node.shared_mb, SHARED_MB, "docker run --shm-size=8g"),
        _enough("free disk", nodes, lambda node: node.disk_mb, DISK_MB, "give the machine a larger disk"),
        _storage(nodes, storage),
        _token(nodes),
        _clocks(apart),
    ]


def _named(versions: Versions) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def _equal(what: str, nodes: Sequence[Node], of: Callable[[Node], str], mend: str) -> Line:
    by_value: dict[str, list[str]] = {}
    for node in nodes:
        by_value.setdefault(of(node), []).append(node.host)
    if len(by_value) == 1:
        return Line(f"{what}: {next(iter(by_value))}")
    told = "; ".join(f"{value} on {', '.join(dict.fromkeys(hosts))}" for value, hosts in by_value.items())
    return Line(f"{what} differ: {told}", mend)


def _enough(what: str, nodes: Sequence[Node], of: Callable[[Node], int], least: int, mend: str) -> Line:
    poor = min(nodes, key=of)
    told = f"{what}: {of(poor) / 1024:.1f} GB on {poor.host}, the least of all"
    return Line(told) if of(poor) >= least else Line(f"{told}; {least / 1024:.0f} GB are wanted", mend)


def _storage(nodes: Sequence[Node], storage: str | None) -> Line:
    if storage is None:
        return Line("storage: not looked at without --storage s3://bucket/folder")
    faults = {node.host: node.storage_fault for node in nodes if node.storage_fault}
    if not faults:
        return Line(f"storage {storage}: every machine reads and writes it")
    told = "; ".join(f"{host}: {fault}" for host, fault in faults.items())
    return Line(f"storage {storage}: {told}", "use s3:// or gs://, or a mount that all machines have")


def _token(nodes: Sequence[Node]) -> Line:
    without = ", ".join(dict.fromkeys(node.host for node in nodes if not node.has_token))
    mend = "`ray get-auth-token --generate`, and RAY_AUTH_MODE=token before every `ray start`"
    return Line(f"token: none on {without}, so that anybody may run code there", mend) if without else SAFE


def _clocks(apart: float) -> Line:
    told = f"clocks: {apart:.0f} s apart"
    return Line(told) if apart <= SKEW_S else Line(told, "let them follow a time server (chrony, ntpd)")
