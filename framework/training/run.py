"""From a configuration to a finished model; the same call again continues or recognises it."""

import torch

from framework.core.artifact import is_finished
from framework.core.interruption import interruptible
from framework.core.lock import lock
from framework.core.storage import Store
from framework.training import checkpoint
from framework.training.config import TrainConfig
from framework.training.metric_log import follow
from framework.training.trainer import artifact_spec, identity
from framework.training.worker import train_worker


def model_store(run: TrainConfig) -> Store:
    return Store.at(run.out) / run.name


def train(run: TrainConfig) -> Store:
    """Train a model, or finish it, or recognise it as finished; gives its folder.

    Raises `Interrupted` after Ctrl-C or SIGTERM, with a checkpoint of the step that was then at work.
    """
    store = model_store(run)
    spec = artifact_spec(run)
    if is_finished(store, spec):
        return store
    with lock(store, spec.hash) as held:
        begin(run, held)
        if run.compute.workers:
            from framework.training.ray_trainer import fit_on_ray

            fit_on_ray(run, held)
        else:
            with follow(held, run.name, run.train.steps), interruptible() as interruption:
                train_worker(run, held, torch.device("cpu"), is_asked=interruption.is_asked)
    return store


def begin(run: TrainConfig, store: Store) -> None:
    """Write the description of a run into its folder; raises `CheckpointError`, and leaves the one that is
    there, when the folder holds a checkpoint of another run."""
    checkpoint.require_same_run(store / "checkpoints", identity(run))
    store.write_text("config.yaml", run.to_yaml())
