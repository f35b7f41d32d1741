"""Ray Train around the loop: real workers."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import torch

from framework.core.errors import ResourceError, RowError, TrainingError
from framework.training.checkpoint import read_tensors
from framework.training.run import train
from tests.chaos.rank_fault import fail
from tests.contract.support import losses, tiny_run, trained

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_cluster")]


def test_one_ray_worker_gives_the_weights_of_this_process(phantom_url: str, tmp_path: Path) -> None:
    here = train(tiny_run(phantom_url, "coda", tmp_path / "here"))
    there = train(tiny_run(phantom_url, "coda", tmp_path / "there", {"compute": {"workers": 1}}))
    first, second = read_tensors(here, "model.safetensors"), read_tensors(there, "model.safetensors")
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert here.read_json("artifact.json")["hash"] == there.read_json("artifact.json")["hash"]


def test_a_run_begun_here_goes_on_with_two_workers_under_zero(phantom_url: str, tmp_path: Path) -> None:
    """Checkpoints hold no world size or shards: 4 of 8 steps on one rank, the rest on two under ZeRO 2."""
    whole = tiny_run(phantom_url, "coda", tmp_path / "whole", {"train": {"steps": 8}})
    trained(whole)
    trained(tiny_run(phantom_url, "coda", tmp_path / "parts", {"train": {"steps": 8}}), stop=4)
    compute = {"workers": 2, "strategy": {"name": "deepspeed", "zero": 2}}
    parts = tiny_run(phantom_url, "coda", tmp_path / "parts", {"train": {"steps": 8}, "compute": compute})
    train(parts)
    assert losses(parts) == pytest.approx(losses(whole)[4:], rel=1e-3)


def test_more_workers_than_processors_is_said_at_once(phantom_url: str, tmp_path: Path) -> None:
    with pytest.raises(
        ResourceError, match=r"^compute\.workers: 3 x \(1 CPU\) wanted, but the cluster has room for 2; lower"
    ):
        train(tiny_run(phantom_url, "supervised", tmp_path, {"compute": {"workers": 3}}))


@pytest.mark.parametrize(
    ("fault", "kind", "message"),
    [
        ("error", RowError, "corpus c: image 'x' is damaged"),
        (
            "hang",
            TrainingError,
            "rank 0 waited 5 s for another, which hangs or is slow; raise",
        ),
    ],
)
def test_a_fault_on_one_rank_ends_the_run_at_once(
    fault: str, kind: type[Exception], message: str, phantom_url: str, tmp_path: Path
) -> None:
    """Every kind of error, and bugs, are tried in tests/training/test_ray_worker.py."""
    error, seconds = fail(phantom_url, tmp_path, fault)
    assert type(error) is kind and re.search(message, str(error))
    assert seconds < 30, "Ray's own patience is 1,800 s"


def test_a_training_leaves_no_process_of_its_cluster(phantom_url: str, tmp_path: Path) -> None:
    """By an entry of the environment that all of them inherit."""
    run = tiny_run(phantom_url, "supervised", tmp_path, {"compute": {"workers": 1}})
    (tmp_path / "run.yaml").write_text(run.to_yaml())
    command = [sys.executable, "-m", "framework.cli", "train", str(tmp_path / "run.yaml")]
    mark = {"TEST_RUN": str(tmp_path)}
    subprocess.run(command, env={**os.environ, **mark}, check=True, capture_output=True)
    of_ray = [
        each
        for each in psutil.process_iter(["environ"])
        if mark.items() <= (each.info["environ"] or {}).items()
    ]
    assert psutil.wait_procs(of_ray, timeout=5)[1] == []
