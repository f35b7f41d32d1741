"""Ray Train around the loop: real workers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from framework.core.errors import CorpusError, ResourceError
from framework.core.storage import Store
from framework.training.checkpoint import read_tensors
from framework.training.ray_trainer import fit_on_ray
from framework.training.run import train
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
        ResourceError, match=r"3 processes of 1 CPU want 3 CPU, the cluster has 2; lower compute\.workers"
    ):
        train(tiny_run(phantom_url, "supervised", tmp_path, {"compute": {"workers": 3}}))


def test_an_error_in_a_worker_reaches_the_reader_as_it_is(phantom_url: str, tmp_path: Path) -> None:
    run = tiny_run(
        phantom_url, "coda", tmp_path, {"corpus": {"budget": {"share": 1.0}}, "compute": {"workers": 1}}
    )
    with pytest.raises(CorpusError, match="needs unlabelled training images"):
        fit_on_ray(run, Store.at(tmp_path / "coda"))
    assert not (tmp_path / "coda" / "failure.json").exists()
