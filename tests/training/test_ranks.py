"""What a run tells of all ranks, on two of them."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from framework.core.distributed import broadcast_tensors
from framework.core.errors import CheckpointError, TrainingError
from framework.core.storage import Store
from framework.loading.loader import StreamBatch
from framework.training.checkpoint import Checkpoint, latest_of_all, save
from framework.training.loop import _flush
from framework.training.trainer import require_finite
from framework.training.validation import CaseTally
from tests.ranks import on_ranks

CPU = torch.device("cpu")


def test_a_loss_that_is_not_finite_on_one_rank_stops_all_and_names_its_images() -> None:
    def said(rank: int) -> str:
        images = StreamBatch([f"image-{rank}"], torch.zeros(1, 1, 4, 4), (), torch.zeros(1, 4, 4))
        value = torch.tensor(float("nan") if rank else 1.0)
        with pytest.raises(TrainingError) as error:
            require_finite(value, {"labelled": images}, 7)
        return str(error.value)

    wanted = "step 7: the loss is not finite; no weight was changed. Images of the batch: image-1"
    assert on_ranks(2, said) == [wanted] * 2


def test_the_log_has_the_means_over_ranks() -> None:
    def logged(rank: int) -> list[dict[str, Any]]:
        written: list[dict[str, Any]] = []
        log: Any = SimpleNamespace(write=lambda *records: written.extend(records))
        method = SimpleNamespace(statistics=lambda: {})
        trainer: Any = SimpleNamespace(step=5, device=CPU, method=method)
        _flush(trainer, log, [{"loss": 1.0 + 2 * rank}, {"loss": torch.tensor(2.0 * rank)}])
        return written

    assert on_ranks(2, logged) == [[{"step": 4, "loss": 2.0}, {"step": 5, "loss": 1.0}]] * 2


def test_a_score_is_over_the_images_of_all_ranks() -> None:
    cases, probability = torch.tensor([0, 0, 1, 1, 2]), torch.rand(5, 3, 8, 8)
    mask = torch.randint(0, 3, (5, 8, 8))

    def scores(part: slice) -> Any:
        tally = CaseTally(3, 3, CPU)
        tally.add(cases[part], probability[part], mask[part])
        return tally.scores()

    whole = scores(slice(None))
    assert on_ranks(2, lambda rank: scores(slice(rank, None, 2))) == [whole] * 2


TENSORS = {
    "weights": torch.arange(6.0).reshape(2, 3).t(),
    "not a number": torch.tensor([0x7FC1, 0x0001], dtype=torch.uint16).view(torch.bfloat16),
    "step": torch.tensor(7),
    "mask": torch.tensor([[True], [False]]),
    "nothing": torch.zeros(0, 3),
}
IDENTITY = {"seed": 0}


def bits(tensor: torch.Tensor) -> bytes:
    return tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def test_tensors_of_the_first_rank_reach_all_bit_for_bit() -> None:
    mine = [TENSORS, {"weights": torch.ones(9)}, {}]
    for tensors in on_ranks(3, lambda rank: broadcast_tensors(mine[rank], CPU)):
        assert list(tensors) == list(TENSORS)
        for name, tensor in tensors.items():
            wanted = TENSORS[name]
            assert (tensor.shape, tensor.dtype, bits(tensor)) == (wanted.shape, wanted.dtype, bits(wanted))


@pytest.fixture
def stores(tmp_path: Path) -> list[Store]:
    """Folders of two hosts that share no disk: the first has two checkpoints, the second a later one."""
    first, second = Store.at(tmp_path / "first"), Store.at(tmp_path / "second")
    for step, store in ((2, first), (4, first), (6, second)):
        model = {"w": torch.full((2,), float(step))}
        save(store, Checkpoint(step, {"model": model, "optimiser": {}}, IDENTITY, step / 10))
    return [first, second]


def test_all_ranks_go_on_from_the_checkpoint_of_the_first(stores: list[Store]) -> None:
    for checkpoint in on_ranks(2, lambda rank: latest_of_all(stores[rank], IDENTITY, CPU)):
        assert checkpoint is not None and (checkpoint.step, checkpoint.best) == (4, 0.4)
        assert checkpoint.parts["model"]["w"].tolist() == [4.0, 4.0]
        assert checkpoint.parts["optimiser"] == {} and checkpoint.identity == IDENTITY
    shutil.rmtree(stores[0].path())
    assert on_ranks(2, lambda rank: latest_of_all(stores[rank], IDENTITY, CPU)) == [None, None]


def test_all_pass_over_a_damaged_one_and_the_first_says_it(stores: list[Store]) -> None:
    """What the second rank has is damaged too, and not even looked at."""
    for store, name in zip(stores, ("step-00000004", "step-00000006"), strict=True):
        (store / name).write_bytes("model.safetensors", b"short")

    def read(rank: int) -> tuple[int, int]:
        said: list[str] = []
        checkpoint = latest_of_all(stores[rank], IDENTITY, CPU, said.append)
        return checkpoint.step if checkpoint else 0, len(said)

    assert on_ranks(2, read) == [(2, 1), (2, 0)]


@pytest.mark.parametrize(
    ("identities", "reason"),
    [
        ([{"seed": 1}, {"seed": 1}], r"another configuration \(seed: 0 there, 1 now\)"),
        ([{"seed": 0}, {"seed": 1}], r"rank 1 has another corpus, layer, model or version of scantseg than"),
    ],
    ids=["foreign checkpoint", "foreign rank"],
)
def test_all_stop_with_one_error(identities: list[dict[str, int]], reason: str, stores: list[Store]) -> None:
    def said(rank: int) -> str:
        with pytest.raises(CheckpointError, match=reason) as error:
            latest_of_all(stores[rank], identities[rank], CPU)
        return str(error.value)

    first, second = on_ranks(2, said)
    if identities[0] == identities[1]:
        assert first == second and first.startswith(stores[0].url)
