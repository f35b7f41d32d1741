"""One rank on Ray: how it hears that it is to stop, and what becomes of its errors."""

import contextlib
import os
import threading
import traceback
from collections.abc import Callable
from typing import Any

from ray.train import UserCallback
from ray.train.v2._internal.exceptions import WorkerGroupStartupTimeoutError
from ray.train.v2._internal.execution.callback import ControllerCallback

from framework.core.config_files import parse
from framework.core.distributed import lost_a_rank, rank, waited_in_vain
from framework.core.errors import ResourceError, ScantsegError, StorageError, TrainingError, Unreachable
from framework.core.interruption import Interrupted
from framework.core.storage import Store
from framework.training.config import TrainConfig
from framework.training.shared import require_shared

LOOK_S = 0.5
"""Seconds between two looks for the wish to stop."""


class WorkerBug(Exception):
    """An exception in a worker that no reader can mend: a fault of ours. Its message is the trace."""


class EndOnError(UserCallback):
    """Ends a run at its first error: a callback that raises does so in Ray. Left alone, Ray would start all
    workers anew, as after the loss of one, and the others would wait for the one that has failed."""

    def after_exception(self, run_context: Any, worker_exceptions: dict[int, Exception]) -> None:
        """Raise what a worker raised; of lost workers, of what their loss caused, and of workers without a
        network, Ray takes care."""
        causes = (getattr(error, "_base_exc", error) for error in worker_exceptions.values())
        for cause in causes:
            if isinstance(cause, (ScantsegError, WorkerBug)) and not isinstance(cause, Unreachable):
                raise cause


class EndOfWaiting(ControllerCallback):
    """Ends a run when the cluster has had no room for its workers for `compute.wait_minutes`, as after the
    loss of a host that nothing replaces. Left alone, Ray would try for ever."""

    def __init__(self, name: str, wanted: str, minutes: float) -> None:
        self.name, self.wanted, self.minutes = name, wanted, minutes

    def after_controller_state_update(self, previous_state: Any, current_state: Any) -> None:
        """Raise where the last start of the workers has waited in vain."""
        error = getattr(current_state, "training_failed_error", None)
        if isinstance(getattr(error, "controller_failure", None), WorkerGroupStartupTimeoutError):
            fault = f"for {self.minutes:g} min the cluster had no room for {self.wanted}"
            mend = "the same command continues when hosts are back; see compute.wait_minutes"
            raise ResourceError(f"run '{self.name}': {fault}; {mend}")


def work(config: dict[str, Any]) -> int | None:
    """One rank of a run; gives the step after which it was stopped, None where it is finished.

    Raises `ScantsegError` or `WorkerBug`, and lets through what the loss of another rank caused.
    """
    from ray.train import get_context, report
    from ray.train.torch import get_device

    from framework.training.worker import train_worker

    store, run = config["store"], parse(config["run"], TrainConfig)
    os.environ["OMP_NUM_THREADS"] = str(run.compute.cpus_per_worker)
    os.environ.setdefault("LOCAL_WORLD_SIZE", str(get_context().get_local_world_size()))

    def listener(record: dict[str, Any]) -> None:
        # not at the last step: there Tune may stop the trial before the model is written
        if config["tuning"] and record["step"] < run.train.steps:
            report(record)

    is_asked = wish_to_stop(store, config["stop"]) if rank() == 0 else lambda: False
    try:
        require_shared(store, config["stop"], config["inputs"])
        train_worker(run, store, get_device(), listener, is_asked)
    except Interrupted as end:
        return end.step
    except Exception as error:
        raise told(error, run) from None
    return None


def wish_to_stop(store: Store, name: str) -> Callable[[], bool]:
    """Whether there is a file of that name, looked for beside the work: in a bucket a look takes its time."""
    asked = threading.Event()

    def look() -> None:
        while not asked.wait(LOOK_S):
            with contextlib.suppress(StorageError):  # the next look may succeed
                if store.exists(name):
                    asked.set()

    threading.Thread(target=look, daemon=True).start()
    return asked.is_set


def told(error: Exception, run: TrainConfig) -> Exception:
    """What an error of this rank is to those who hear of it."""
    if isinstance(error, ScantsegError):
        return error
    if waited_in_vain(error):
        fault = f"rank {rank()} waited {run.compute.timeout_s} s for another, which hangs or is slow"
        mend = "raise compute.timeout_s if it is slow; the same command again continues"
        return TrainingError(f"run '{run.name}': {fault}; {mend}")
    return error if lost_a_rank(error) else WorkerBug(f"in rank {rank()}:\n{traceback.format_exc()}")
