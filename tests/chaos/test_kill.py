"""Hard deaths: the same command again, or Ray's replacement, ends with the result of an undisturbed run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
import ray
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
    with ThreadPoolExecutor(1) as beside:
        killed = beside.submit(kill_a_worker_after, checkpoints)
        store = train(run)
        assert killed.result() < 100, "the worker was killed before the end"
    whole = tiny_run(
        phantom_url, "supervised", tmp_path / "whole", {"train": {"steps": 100}, "compute": {"workers": 0}}
    )
    trained(whole)
    assert [r for r in losses(run)] == pytest.approx(losses(whole), rel=2e-2)
    assert store.read_json("artifact.json")["counts"]["steps"] == 100


@pytest.mark.ray
def test_sigterm_saves_on_the_workers_and_names_the_command(
    phantom_url: str, tmp_path: Path, ray_cluster: None
) -> None:
    changes = {"train": {"steps": 100_000}, "compute": {"workers": 2}}
    run = tiny_run(phantom_url, "supervised", tmp_path, changes)
    (tmp_path / "run.yaml").write_text(run.to_yaml())
    command = [sys.executable, "-m", "framework.cli", "train", str(tmp_path / "run.yaml")]
    address = {"RAY_ADDRESS": ray.get_runtime_context().gcs_address}
    running = subprocess.Popen(
        command, env={**os.environ, **address}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    wait_until(lambda: bool(losses(run)))
    running.terminate()
    _, said = running.communicate(timeout=60)
    (checkpoint,) = (tmp_path / "supervised" / "checkpoints").iterdir()
    step = int(checkpoint.name.removeprefix("step-"))
    typed = " ".join(["python", *command[1:]])
    last = said.strip().splitlines()[-1]  # before it Ray tells its log level
    assert last == f"terminated after step {step}, which is saved; to continue: {typed}"
    assert running.returncode == 143


def kill_a_worker_after(checkpoints: Path) -> int:
    """Kill one when there is a checkpoint; gives the step of the newest that was then there."""
    wait_until(lambda: any(checkpoints.glob("step-*/checkpoint.json")))
    ours = psutil.Process().children(recursive=True)  # others may train on clusters of their own
    next(child for child in ours if "ray::RayTrainWorker" in child.name() + " ".join(child.cmdline())).kill()
    return max(int(path.name.removeprefix("step-")) for path in checkpoints.iterdir())


def wait_until(ready, seconds: float = 120) -> None:  # type: ignore[no-untyped-def]
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)
