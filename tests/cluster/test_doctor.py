"""What the doctor says of machines that he was told of."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from framework.cluster.doctor import Line, Node, examine, lines

WELL = Node(
    host="head",
    versions={"ray": "2.60.0", "python": "3.11", "scantseg": "0.1.0"},
    torch="2.14.1",
    gpus=0,
    nccl="none",
    shared_mb=8192,
    disk_mb=50_000,
    has_token=True,
    storage_fault="",
)
OTHER = replace(WELL, host="worker")


def said(*nodes: Node, apart: float = 0.1, storage: str | None = "s3://scans") -> list[Line]:
    return [finding for finding in lines(nodes, storage, apart) if finding.mend]


def test_nothing_is_wrong_with_machines_that_are_alike() -> None:
    assert said(WELL, WELL, OTHER) == []
    assert str(lines([WELL, WELL, OTHER], "s3://scans", 0.0)[0]) == "ok    2 machines: head, worker"


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        (
            {"versions": {**WELL.versions, "ray": "2.59.0"}},
            "versions differ: .* on head; .*2.59.0.* on worker",
        ),
        ({"torch": "2.13"}, "torch differ: 2.14.1 on head; 2.13 on worker"),
        ({"shared_mb": 64}, "shared memory: 0.1 GB on worker"),
        ({"disk_mb": 100}, "free disk: 0.1 GB on worker"),
        ({"has_token": False}, "token: none on worker, so that anybody may run code there"),
        ({"storage_fault": "/mnt: no such folder"}, "storage s3://scans: worker: /mnt: no such folder"),
    ],
)
def test_the_machine_that_is_unlike_the_others_is_named(changes: dict, what: str) -> None:
    (finding,) = said(WELL, WELL, replace(OTHER, **changes))
    assert re.search(what, finding.what)


def test_workers_with_other_devices_are_named_but_not_a_head_without_any() -> None:
    gpu = replace(OTHER, gpus=4, nccl="2.27.3")
    assert said(WELL, gpu, replace(gpu, host="worker2")) == []
    (finding,) = said(WELL, gpu, replace(gpu, host="worker2", nccl="2.19.0"))
    assert finding.what.startswith("GPUs differ: 4 (NCCL 2.27.3) on worker; 4 (NCCL 2.19.0) on worker2")


def test_clocks_that_differ_are_told() -> None:
    (finding,) = said(WELL, OTHER, apart=31.0)
    assert finding.what == "clocks: 31 s apart"


def test_a_storage_without_what_another_wrote_is_a_fault(tmp_path: Path) -> None:
    assert examine(str(tmp_path), "probe").storage_fault == "what another node wrote is not there"
    (tmp_path / "probe").touch()
    assert examine(str(tmp_path), "probe").storage_fault == ""
