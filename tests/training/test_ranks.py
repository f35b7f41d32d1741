"""What a run tells of all ranks, on two of them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from framework.core.errors import TrainingError
from framework.loading.loader import StreamBatch
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
