"""One rank of a two-rank run of every method, and of two of them under every strategy.

python -m tests.contract.rank FOLDER CORPUS     with torchrun's environment
"""

from __future__ import annotations

import os
import sys
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
from safetensors.torch import save_file

from framework.training.loop import fit
from framework.training.trainer import Trainer, TrainingError, require_finite
from tests.contract.support import CASES, STRATEGIES, UNDER_STRATEGIES, build, long, tiny_run, trained


def main(folder: Path, corpus: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", timeout=timedelta(seconds=60))
    for method in CASES:
        trainer = trained(tiny_run(corpus, method, folder / "two", long(method)))
        state = dict(trainer.method.state_dict())
        torch.testing.assert_close(_everywhere(state), [state] * dist.get_world_size(), rtol=0, atol=0)
        if dist.get_rank() == 0:
            save_file(
                {name: tensor.contiguous() for name, tensor in state.items()},
                folder / f"{method}.safetensors",
            )
    for strategy, changes in STRATEGIES.items():
        for method, steps in UNDER_STRATEGIES.items():
            trained(tiny_run(corpus, method, folder / strategy, {**changes, "train": {"steps": steps}}))
        (folder / f"resumed-{strategy}-{dist.get_rank()}").write_text(_resumed(folder, corpus, strategy))
    (folder / f"finite-{dist.get_rank()}").write_text(_non_finite_ids())
    # Without the interpreter's teardown, which beside gloo's threads aborts now and then, all being done.
    sys.stderr.flush()
    os._exit(0)


def _everywhere(value: object) -> list[object]:
    gathered: list[object] = [None] * dist.get_world_size()
    dist.all_gather_object(gathered, value)
    return gathered


def _resumed(folder: Path, corpus: str, strategy: str) -> str:
    """How an interrupted run ends whose ranks share no disk: the checkpoint is on that of rank 0."""
    changes = {**STRATEGIES[strategy], "train": {"steps": 4, "ema": 0.9}}
    whole = trained(tiny_run(corpus, "coda", folder / f"{strategy}-whole", changes))
    mine = tiny_run(corpus, "coda", folder / f"{strategy}-{dist.get_rank()}", changes)
    trained(mine, stop=2)
    resumed = build(mine)
    if resumed.step != 2:
        return f"began at step {resumed.step}"
    fit(resumed)
    states = [_state(trainer) for trainer in (whole, resumed)]
    equal = all(torch.equal(tensor, states[1][name]) for name, tensor in states[0].items())
    return "bit for bit" if equal else "differs"


def _state(trainer: Trainer) -> dict[str, torch.Tensor]:
    """Weights, and their averages."""
    assert trainer.ema is not None
    averaged = {f"average of {name}": tensor for name, tensor in trainer.ema.shadow.items()}
    return trainer.method.state_dict() | averaged


def _non_finite_ids() -> str:
    """Rank 1 alone meets a loss that is not finite; both must stop and name its images."""
    from framework.loading.loader import StreamBatch

    bad = dist.get_rank() == 1
    image = torch.zeros(2, 1, 4, 4)
    if bad:
        image[1] = float("nan")
    batch = {
        "labelled": StreamBatch(
            [f"first-{dist.get_rank()}", f"second-{dist.get_rank()}"], image, (), torch.zeros(2, 4, 4).long()
        )
    }
    try:
        require_finite(image.sum(), batch, 3)
    except TrainingError as error:
        return str(error)
    return "no error"


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
