"""What ends a run that cannot go on: another has its folder, or its device has no memory left."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from framework.core.errors import StorageError, TrainingError
from framework.core.lock import FILE, Claim
from framework.core.storage import Store
from framework.training.metric_log import read
from framework.training.run import train
from framework.training.trainer import Trainer
from tests.contract.support import tiny_run

OTHER = Claim(recipe="r", attempt="other", host="elsewhere", process=7, started="2026-01-01T00:00:00+00:00")


def test_a_run_whose_folder_was_taken_over_writes_no_more(
    phantom_url: str, tmp_path: Path, s3: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tiny_run(phantom_url, "supervised", tmp_path, {"out": f"{s3}/taken-over"})
    store, step = Store.at(run.out) / run.name, Trainer.train_step

    def step_and_be_taken_over(self: Trainer, batch: dict) -> dict:
        store.write_bytes(FILE, OTHER.data)
        return step(self, batch)

    monkeypatch.setattr(Trainer, "train_step", step_and_be_taken_over)
    with pytest.raises(StorageError, match=r"taken over by process 7 on elsewhere .*; this one stops"):
        train(run)
    assert store.read_json(FILE, Claim).attempt == "other"
    assert not store.exists("artifact.json") and not (store / "checkpoints").names() and read(store) == []


def test_a_device_without_memory_is_one_line(
    phantom_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def step(self: Trainer, batch: dict) -> dict:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")

    monkeypatch.setattr(Trainer, "train_step", step)
    with pytest.raises(TrainingError, match=r"^run '.*': step 0: the device has no memory left; lower train"):
        train(tiny_run(phantom_url, "supervised", tmp_path))
