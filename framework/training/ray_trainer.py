"""Ray Train around the loop: worker processes, their group, and their replacement when one is lost."""

import os
import uuid
from typing import Any

from framework.core import errors
from framework.core.config_files import parse
from framework.core.errors import ScantsegError, TrainingError
from framework.core.ray_runtime import ray_storage, start_ray
from framework.core.storage import Store
from framework.training.config import TrainConfig
from framework.training.metric_log import follow

FAILURE = "failure.json"


def fit_on_ray(run: TrainConfig, store: Store, tuning: bool = False) -> None:
    """Train with `compute.workers` workers; raises the `ScantsegError` of a worker, or `TrainingError`.

    A lost worker is replaced `compute.max_failures` times: the group goes on from our own last checkpoint.
    """
    from ray.train.v2.api.exceptions import TrainingFailedError

    start_ray()
    run.compute.processes.require("compute.workers")
    attempt = uuid.uuid4().hex[:12]
    trainer = _ray_trainer(run, store, attempt, tuning)
    try:
        with follow(store, run.name, run.train.steps):
            trainer.fit()
    except TrainingFailedError as error:
        _raise_failure(store, attempt)
        fault = (str(error).strip() or type(error).__name__).splitlines()[-1].strip()[:300]
        raise TrainingError(f"run '{run.name}': {fault}; run the same command again to continue") from None
    _raise_failure(store, attempt)


def _ray_trainer(run: TrainConfig, store: Store, attempt: str, tuning: bool) -> Any:
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    compute, callbacks = run.compute, []
    if tuning:
        from ray.tune.integration.ray_train import TuneReportCallback

        callbacks.append(TuneReportCallback())
    resources, failures = compute.processes.resources, FailureConfig(max_failures=compute.max_failures)
    name, place = f"{run.name}-{attempt}", ray_storage(store)
    config = {"run": anchored(run).model_dump(), "store": store.url, "attempt": attempt, "tuning": tuning}
    return TorchTrainer(
        _worker,
        train_loop_config=config,
        torch_config=TorchConfig(backend="nccl" if compute.gpu else "gloo"),
        scaling_config=ScalingConfig(
            num_workers=compute.workers, use_gpu=compute.gpu, resources_per_worker=resources
        ),
        run_config=RunConfig(name, place, failure_config=failures, callbacks=callbacks),
    )


def anchored(run: TrainConfig) -> TrainConfig:
    """The run with absolute local paths: Ray gives its processes other working directories."""
    layers = [Store.at(name).url if "/" in name else name for name in run.corpus.layers]
    corpus = run.corpus.model_copy(update={"path": Store.at(run.corpus.path).url, "layers": layers})
    models = {role: Store.at(url).url for role, url in run.models.items()}
    return run.model_copy(update={"corpus": corpus, "models": models})


def _worker(config: dict[str, Any]) -> None:
    """One rank. The driver raises errors for the reader: raised here, they would cause a retry."""
    from ray.train import get_context, report
    from ray.train.torch import get_device

    from framework.training.worker import train_worker

    store = Store.at(config["store"])
    if _failure(store, config["attempt"]):
        return
    run = parse(config["run"], TrainConfig)
    os.environ["OMP_NUM_THREADS"] = str(run.compute.cpus_per_worker)
    os.environ.setdefault("LOCAL_WORLD_SIZE", str(get_context().get_local_world_size()))

    def listener(record: dict[str, Any]) -> None:
        # not at the last step: there Tune may stop the trial before the model is written
        if config["tuning"] and record["step"] < run.train.steps:
            report(record)

    try:
        train_worker(run, store, get_device(), listener)
    except ScantsegError as error:
        failure = {"attempt": config["attempt"], "type": type(error).__name__, "message": str(error)}
        store.write_json(FAILURE, failure)


def _failure(store: Store, attempt: str) -> dict[str, str] | None:
    failure = store.read_json(FAILURE) if store.exists(FAILURE) else None
    return failure if failure and failure["attempt"] == attempt else None


def _raise_failure(store: Store, attempt: str) -> None:
    if failure := _failure(store, attempt):
        store.remove(FAILURE)
        raise getattr(errors, failure["type"])(failure["message"])
