from __future__ import annotations

from pathlib import Path

import pytest
import torch

from framework.core.errors import CheckpointError
from framework.core.storage import Store
from framework.training.checkpoint import Checkpoint, latest, prune, read, require_same_run, save

IDENTITY = {"method.name": "coda", "seed": 0}


def checkpoint(step: int) -> Checkpoint:
    parts = {
        "model": {"w": torch.full((3, 2), float(step))},
        "optimiser": {"g/w/step": torch.tensor(float(step))},
    }
    return Checkpoint(step, parts, IDENTITY, 0.5)


def test_round_trip(tmp_path: Path) -> None:
    store = Store.at(tmp_path)
    save(store, checkpoint(7))
    newest = latest(store, IDENTITY)
    assert newest is not None and (newest.step, newest.best) == (7, 0.5)
    assert torch.equal(newest.parts["model"]["w"], torch.full((3, 2), 7.0))
    assert torch.equal(newest.parts["optimiser"]["g/w/step"], torch.tensor(7.0))


def test_nothing_there_is_none(tmp_path: Path) -> None:
    assert latest(Store.at(tmp_path / "none"), IDENTITY) is None


@pytest.mark.parametrize("harm", ["no record", "truncated", "one bit", "record", "record's shape", "no file"])
def test_a_damaged_newest_one_is_passed_over(tmp_path: Path, harm: str) -> None:
    store = Store.at(tmp_path)
    save(store, checkpoint(1))
    folder = tmp_path / save(store, checkpoint(2))
    file = folder / "model.safetensors"
    if harm == "no record":
        (folder / "checkpoint.json").unlink()
    elif harm == "truncated":
        file.write_bytes(file.read_bytes()[:-3])
    elif harm == "record":
        record = folder / "checkpoint.json"
        record.write_text(record.read_text().replace('"step": 2', '"step": 3'))
    elif harm == "record's shape":
        (folder / "checkpoint.json").write_text("[1]")
    elif harm == "no file":
        file.unlink()
    else:
        data = bytearray(file.read_bytes())
        data[-1] ^= 1
        file.write_bytes(bytes(data))
    said: list[str] = []
    newest = latest(store, IDENTITY, said.append)
    assert newest is not None and newest.step == 1
    assert len(said) == (harm != "no record")  # an interrupted write is no damage
    assert all("damaged checkpoint" in line and "step-00000002" in line for line in said)


def test_reading_a_truncated_one_names_its_file(tmp_path: Path) -> None:
    folder = tmp_path / save(Store.at(tmp_path), checkpoint(2))
    (folder / "optimiser.safetensors").write_bytes(b"short")
    with pytest.raises(
        CheckpointError, match=r"step-00000002/optimiser.*truncated or damaged checkpoint \(5 bytes\)"
    ):
        read(Store.at(folder))


def test_another_configuration_is_refused_by_its_key(tmp_path: Path) -> None:
    save(Store.at(tmp_path), checkpoint(1))
    with pytest.raises(CheckpointError, match=r"another configuration \(seed: 0 there, 1 now\)"):
        latest(Store.at(tmp_path), {**IDENTITY, "seed": 1})


def test_two_are_kept_and_none_that_a_fall_back_has_passed_over(tmp_path: Path) -> None:
    store = Store.at(tmp_path)
    for step in (1, 2, 3):
        prune(store, save(store, checkpoint(step)))
    assert store.names() == ["step-00000002", "step-00000003"]
    (tmp_path / "step-00000002" / "checkpoint.json").unlink()
    save(store, checkpoint(9))
    prune(store, save(store, checkpoint(4)))
    assert store.names() == ["step-00000003", "step-00000004"]


def test_another_run_is_refused_by_the_record_alone(tmp_path: Path) -> None:
    store = Store.at(tmp_path)
    require_same_run(store, IDENTITY)
    folder = tmp_path / save(store, checkpoint(2))
    (folder / "model.safetensors").unlink()
    require_same_run(store, IDENTITY)
    with pytest.raises(CheckpointError, match=r"another configuration \(seed: 0 there, 1 now\)"):
        require_same_run(store, {**IDENTITY, "seed": 1})
