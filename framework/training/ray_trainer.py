"""Ray Train around the loop: worker processes, their group, and their replacement when one is lost."""

import os
import threading
import uuid
from concurrent.futures import Future, wait
from typing import Any

from framework.cluster.lost_hosts import LostHosts
from framework.cluster.resources import wait_for_room
from framework.core.errors import ScantsegError, TrainingError
from framework.core.interruption import Interrupted, Interruption, interruptible
from framework.core.ray_runtime import ray_storage, start_ray
from framework.core.storage import Store
from framework.core.waiting import say
from framework.training import ray_worker
from framework.training.checkpoint import newest_step
from framework.training.config import TrainConfig
from framework.training.metric_log import follow
from framework.training.shared import marked, require_model
from framework.training.trainer import artifact_spec

TICK_S = 0.2
"""Seconds between two looks at whether a signal has come."""
START_TIMEOUT = "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S"
"""Ray's name for how long it waits for room for the workers, at their start and after a host was lost."""
TRIAL_MINUTES = 7 * 24 * 60.0
"""Minutes that a trial of a search waits for the others to end; the search itself looks after lost hosts."""


def fit_on_ray(run: TrainConfig, store: Store, tuning: bool = False) -> None:
    """Train with `compute.workers` workers; raises the `ScantsegError` of a worker, or `TrainingError`.

    A lost worker is replaced `compute.max_failures` times: the group goes on from our own last checkpoint.
    Raises `Interrupted` when it was asked to stop and the workers have done so.
    """
    from ray.train.v2.api.exceptions import TrainingFailedError

    start_ray()
    minutes = TRIAL_MINUTES if tuning else run.compute.wait_minutes
    wait_for_room(run.compute.processes, "compute.workers", minutes)
    stop = f"stop-{uuid.uuid4().hex[:12]}"
    try:
        with (
            ray_storage(store) as place,
            marked(store, stop),
            follow(store, run.name, run.train.steps),
            interruptible() as interruption,
        ):
            os.environ[START_TIMEOUT] = str(60 * minutes)
            hosts = LostHosts(run.compute.processes, minutes, say)
            _fit(_ray_trainer(run, store, place, stop, tuning), store, stop, interruption, hosts)
    except TrainingFailedError as error:
        raise _cause(error, run.name) from None
    finally:
        store.remove(stop)
    require_model(store)


def _fit(trainer: Any, store: Store, stop: str, interruption: Interruption, hosts: LostHosts) -> None:
    """Train in another thread: in this one Ray would replace our handlers of signals. After a signal the file
    `stop` tells the workers; raises `Interrupted` when they have stopped. Of lost hosts one hears, and a
    signal ends the wait for others."""
    ended: Future[Any] = Future()

    def fit() -> None:
        try:
            ended.set_result(trainer.fit())
        except BaseException as error:
            ended.set_exception(error)

    threading.Thread(target=fit, daemon=True).start()
    while not ended.done():
        if interruption.is_asked() and not store.exists(stop):
            store.write_text(stop, "")
        hosts.look()
        if interruption.is_asked() and hosts.is_awaited():  # there are no workers who could hear of it
            raise Interrupted(newest_step(store / "checkpoints"))
        wait([ended], TICK_S)
    if (step := ended.result().return_value) is not None:
        raise Interrupted(step)


def _ray_trainer(run: TrainConfig, store: Store, place: str, stop: str, tuning: bool) -> Any:
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    from framework.training.process_group import ProcessGroup

    compute = run.compute
    no_room = ray_worker.EndOfWaiting(run.name, str(compute.processes), compute.wait_minutes)
    callbacks: list[Any] = [ray_worker.EndOnError(), no_room]
    if tuning:
        from ray.tune.integration.ray_train import TuneReportCallback

        callbacks.append(TuneReportCallback())
    failures = FailureConfig(max_failures=compute.max_failures)
    name = f"{run.name}-{uuid.uuid4().hex[:12]}"
    work = {"run": anchored(run).model_dump(), "store": store, "inputs": artifact_spec(run).inputs}
    return TorchTrainer(
        ray_worker.work,
        train_loop_config=work | {"stop": stop, "tuning": tuning},
        # NCCL lets no two ranks share a GPU
        torch_config=ProcessGroup("nccl" if compute.gpu >= 1 else "gloo", timeout_s=compute.timeout_s),
        scaling_config=ScalingConfig(
            num_workers=compute.workers,
            use_gpu=bool(compute.gpu),
            resources_per_worker=dict(compute.processes.resources),
            placement_strategy=compute.placement,
            label_selector=compute.labels or None,
        ),
        run_config=RunConfig(
            name,
            place,
            failure_config=failures,
            callbacks=callbacks,
            worker_runtime_env={"env_vars": compute.env},
        ),
    )


def anchored(run: TrainConfig) -> TrainConfig:
    """The run with absolute local paths: Ray gives its processes other working directories."""
    layers = [Store.at(name).url if "/" in name else name for name in run.corpus.layers]
    corpus = run.corpus.model_copy(update={"path": Store.at(run.corpus.path).url, "layers": layers})
    models = {role: Store.at(url).url for role, url in run.models.items()}
    return run.model_copy(update={"corpus": corpus, "models": models})


def _cause(error: Exception, name: str) -> Exception:
    """What a worker raised, or that too many were lost."""
    failures = getattr(error, "worker_failures", {}).values()
    workers = (getattr(failure, "_base_exc", failure) for failure in failures)
    for cause in (getattr(error, "controller_failure", error), *workers):
        if isinstance(cause, (ScantsegError, ray_worker.WorkerBug)):
            return cause
    fault = (str(error).strip() or type(error).__name__).splitlines()[-1].strip()[:300]
    return TrainingError(f"run '{name}': {fault}; run the same command again to continue")
