"""Seconds from a fault of one rank of two to the end of the run, with Ray's workers.

python -m tests.chaos.rank_fault     in a cluster of its own
"""

from __future__ import annotations

import functools
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import ray
import ray.cloudpickle

from framework.core import errors
from framework.core.distributed import rank
from framework.training import ray_worker
from framework.training.config import TrainConfig
from framework.training.run import train
from framework.training.trainer import Trainer
from tests.contract.support import build_phantom, tiny_run

STEP, TIMEOUT_S = 3, 5
"""The step at whose start the fault happens, and how long ranks wait for one that hangs."""


def error() -> None:
    raise errors.RowError("corpus c: image 'x' is damaged")


def bug() -> None:
    raise ZeroDivisionError("only we can mend it")


def hang() -> None:
    threading.Event().wait()


FAULTS = {each.__name__: each for each in (error, bug, hang)}


def faulty_run(corpus: str, out: Path) -> TrainConfig:
    """Two workers that would train for long."""
    changes = {"train": {"steps": 10_000}, "compute": {"workers": 2, "timeout_s": TIMEOUT_S}}
    return tiny_run(corpus, "supervised", out, changes)


def fail(corpus: str, out: Path, fault: str) -> tuple[Exception, float]:
    """Train with a fault on the second rank; what was raised, and how many seconds after the fault."""
    sign = out / f"{fault}-happened"
    ray.cloudpickle.register_pickle_by_value(__import__(__name__, fromlist=["x"]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ray_worker, "work", functools.partial(work, fault=fault, sign=str(sign)))
        with pytest.raises(Exception) as caught:
            train(faulty_run(corpus, out / fault))
    return caught.value, time.time() - sign.stat().st_mtime


def work(config: dict[str, Any], fault: str, sign: str) -> int | None:
    """A rank in whose process the steps of the second rank have a fault."""
    whole = Trainer.train_step

    def train_step(trainer: Trainer, batch: Any) -> Any:
        if trainer.step == STEP and rank() == 1:
            Path(sign).touch()
            FAULTS[fault]()
        return whole(trainer, batch)

    Trainer.train_step = train_step  # type: ignore[method-assign]
    return ray_worker.work(config)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        corpus = build_phantom(Path(folder) / "corpus")
        seconds = {fault: fail(corpus, Path(folder), fault)[1] for fault in ("error", "hang")}
    waited = seconds["hang"] - TIMEOUT_S
    print(f"a rank that hangs: {waited:.1f} s after compute.timeout_s, which was {TIMEOUT_S} s")
    print(f"RESULT seconds_error={seconds['error']:.1f} seconds_hang={seconds['hang']:.1f}")


if __name__ == "__main__":
    main()
