"""Hard deaths: the same command again, or Ray's replacement, ends with the result of an undisturbed run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest
import torch

from framework.core.storage import Store
from framework.training.checkpoint import latest, read_tensors
from framework.training.run import train
from tests.contract.support import build, losses, tiny_run, trained

STEPS = 200


def test_killed_process_continues_bit_for_bit(phantom_url: str, tmp_path: Path) -> None:
    changes = {"train": {"steps": STEPS, "checkpoint_every": 20}}
    run = tiny_run(phantom_url, "coda", tmp_path / "killed", changes)
    (tmp_path / "run.yaml").write_text(run.to_yaml())
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    command = [sys.executable, "-m", "framework.cli", "train", str(tmp_path / "run.yaml")]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    checkpoints = tmp_path / "killed" / "coda" / "checkpoints"
    wait_until(lambda: any(checkpoints.glob("step-*/checkpoint.json")))
    process.send_signal(signal.SIGKILL)
    process.wait()
    checkpoint = latest(Store.at(checkpoints), build(run).identity)
    assert checkpoint is not None and 0 < checkpoint.step < STEPS
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
    undisturbed = trained(tiny_run(phantom_url, "coda", tmp_path / "whole", changes))
    assert losses(run) == losses(undisturbed.run)
    resumed = read_tensors(Store.at(tmp_path / "killed" / "coda"), "model.safetensors")
    assert all(torch.equal(value, resumed[name]) for name, value in undisturbed.weights().items())


@pytest.mark.ray
def test_killed_worker_is_replaced_and_no_step_is_lost(
    phantom_url: str, tmp_path: Path, ray_cluster: None
) -> None:
    changes = {"train": {"steps": 100, "checkpoint_every": 10}, "compute": {"workers": 2, "max_failures": 2}}
    run = tiny_run(phantom_url, "supervised", tmp_path, changes)
    checkpoints = tmp_path / "supervised" / "checkpoints"
    killer = threading.Thread(target=kill_a_worker_after, args=(checkpoints,), daemon=True)
    killer.start()
    store = train(run)
    killer.join(timeout=60)
    whole = tiny_run(
        phantom_url, "supervised", tmp_path / "whole", {"train": {"steps": 100}, "compute": {"workers": 0}}
    )
    trained(whole)
    assert [r for r in losses(run)] == pytest.approx(losses(whole), rel=2e-2)
    assert store.read_json("artifact.json")["counts"]["steps"] == 100


def kill_a_worker_after(checkpoints: Path) -> None:
    wait_until(lambda: any(checkpoints.glob("step-*/checkpoint.json")))
    ours = psutil.Process().children(
        recursive=True
    )  # another program of this machine may train on a cluster of its own
    next(child for child in ours if "ray::RayTrainWorker" in child.name() + " ".join(child.cmdline())).kill()


def wait_until(ready, seconds: float = 120) -> None:  # type: ignore[no-untyped-def]
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)
