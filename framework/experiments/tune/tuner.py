"""Trials as Ray Tune runs them: Optuna proposes, ASHA stops, and every trial is a Ray Train run. Tune's own
record is scratch: a search is continued from `trials.json` and the trials' checkpoints."""

import contextlib
import io
import logging
import os
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import ray
from optuna.trial import FrozenTrial, create_trial
from ray import tune
from ray.tune import Callback
from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from framework.cluster.lost_hosts import LostHosts
from framework.cluster.nodes import HEAD, Node, most_nodes
from framework.core.artifact import read_record
from framework.core.callbacks import Log
from framework.core.config_files import parse
from framework.core.errors import ScantsegError
from framework.core.ray_runtime import ray_storage
from framework.core.rng import stable_seed
from framework.core.settings import Settings
from framework.core.storage import Store
from framework.experiments.tune.config import AshaConfig, SearchConfig
from framework.experiments.tune.space import with_values
from framework.experiments.tune.trials import Trial, Trials, show
from framework.methods.registry import method_of
from framework.metrics.registry import METRICS
from framework.training.config import ComputeConfig, TrainConfig
from framework.training.metric_log import best_score
from framework.training.ray_trainer import anchored, fit_on_ray
from framework.training.run import begin, model_store

DRIVER = "driver"
"""The resource of nodes that are kept for drivers, as cluster files give it to the head: one for each."""

SAMPLERS = {"random": optuna.samplers.RandomSampler, "tpe": optuna.samplers.TPESampler}
FAILED = "failed.json"  # where a trial's driver writes down the error that its reader can mend


class Failed(Settings):
    """What it holds."""

    message: str


def run_trials(config: SearchConfig, trials: Trials, log: Log) -> None:
    """Run all trials that have not ended, and record them; raises `KeyboardInterrupt` after Ctrl-C."""
    for name in ("ray.tune", "ray.train", "ray.air"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # errors of trials are in our table
    os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"  # trials have a metric log of their own
    os.environ["TUNE_DISABLE_STRICT_METRIC_CHECKING"] = "1"  # a trial may end before its first validation
    proposer = Proposer(config, trials)
    plan = tune.TuneConfig(
        metric=config.metric,
        mode="max",
        search_alg=proposer,
        scheduler=_scheduler(config.scheduler, config.run.train.steps),
        num_samples=trials.left(config.trials),
        max_concurrent_trials=at_once(config, most_nodes(), ray.cluster_resources().get(DRIVER)),
        trial_name_creator=_name,
        trial_dirname_creator=_name,
    )
    with _quiet(log) as loud, ray_storage(trials.store) as place:
        name = f"{config.name}-{uuid.uuid4().hex[:8]}"
        callbacks: list[Callback] = [Recorder(trials, proposer, loud), Hosts(config.run.compute, loud)]
        course = tune.RunConfig(name=name, storage_path=place, callbacks=callbacks, verbose=0)
        driver = tune.with_resources(_trial, tune.PlacementGroupFactory([driver_bundle()]))
        tune.Tuner(driver, tune_config=plan, run_config=course).fit()
    if any(trial.state == "running" for trial in trials.record):
        raise KeyboardInterrupt


@contextlib.contextmanager
def _quiet(log: Log) -> Iterator[Log]:
    """Keep what Ray prints, from whatever thread, off the terminal; gives a `log` that still reaches it."""
    terminal = sys.stdout

    def loud(line: str) -> None:
        with contextlib.redirect_stdout(terminal):
            log(line)

    with contextlib.redirect_stdout(io.StringIO()):
        yield loud


def driver_bundle() -> dict[str, float]:
    """What a trial's driver reserves: it only waits, so a share of the head node, where it outlives a spot
    node. With drivers off the processors that workers need, trials never wait for one another in a circle."""
    return {DRIVER: 1} if DRIVER in ray.cluster_resources() else {HEAD: 0.001}


def at_once(config: SearchConfig, nodes: list[Node] | None, drivers: float | None) -> int:
    """How many trials run beside each other: as many as the nodes, those among them that the cluster has yet
    to start, have processors for, and as have a place for their driver. None knows no bounds."""
    workers = config.run.compute.processes
    fits = config.trials if nodes is None else workers.room(nodes) // workers.count
    return max(1, min(fits, config.concurrent or fits, int(drivers or fits)))


class Proposer(Searcher):
    """Optuna's samplers as a searcher of Ray: unfinished trials of an earlier call first, then new draws."""

    def __init__(self, config: SearchConfig, trials: Trials) -> None:
        super().__init__(metric=config.metric, mode="max")
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.config, self.trials, self.waiting = config, trials, trials.open_ones()
        self.distributions = {key: distribution.optuna() for key, distribution in config.space.items()}

    def suggest(self, trial_id: str) -> dict[str, Any]:
        trial = self.waiting.pop(0) if self.waiting else self.trials.add(self._draw())
        trial.state, trial.message = "running", ""
        self.trials.save()
        run = anchored(with_values(self.config.run.training(), trial.values, trial.name))
        own = {"name": trial.name, "out": self.trials.store.url}
        return {"run": run.model_copy(update=own).model_dump()}

    def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:
        """Nothing: Tune does not know the last score of a trial, our record does."""

    def _draw(self) -> dict[str, Any]:
        """The next trial's values: a function of its number and, for `tpe`, of the trials that have ended.

        So an interrupted search draws what it would have drawn; where trials run beside each other, `tpe`
        depends on which of them were faster."""
        seed = stable_seed("trial", self.config.seed, len(self.trials.record)) % 2**32
        study = optuna.create_study(direction="maximize", sampler=SAMPLERS[self.config.sampler](seed=seed))
        study.add_trials(
            [self._told(each) for each in self.trials.record if each.ended and each.score is not None]
        )
        drawn = study.ask(self.distributions).params
        return {key: each.value(drawn[key]) for key, each in self.config.space.items()}

    def _told(self, trial: Trial) -> FrozenTrial:
        drawn = {key: each.drawn(trial.values[key]) for key, each in self.config.space.items()}
        return create_trial(params=drawn, distributions=self.distributions, value=trial.score)


class Hosts(Callback):
    """Says that hosts went away, so that no trial has room; ends the search after `compute.wait_minutes`."""

    def __init__(self, compute: ComputeConfig, log: Log) -> None:
        self.hosts = LostHosts(compute.processes, compute.wait_minutes, log)

    def __getstate__(self) -> dict[str, Any]:
        """As of `Recorder`."""
        return {}

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        self.hosts.look()
        self.hosts.require_hope("run.compute.wait_minutes")


class Recorder(Callback):
    """Keeps `trials.json` up to date, and says what happens."""

    def __init__(self, trials: Trials, proposer: Proposer, log: Log) -> None:
        self.trials, self.proposer, self.log = trials, proposer, log
        self.started: dict[str, float] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Tune pickles its callbacks to continue by itself, which we do not use; terminals do not pickle."""
        return {}

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        record = self.trials[_name(trial)]
        self.started[record.name] = time.perf_counter()
        values = ", ".join(f"{key}={show(value)}" for key, value in record.values.items())
        self.log(f"{record.name}: {values}")

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: Any, **info: Any
    ) -> None:
        record = self.trials[_name(trial)]
        record.step, record.score = result["step"], max(result["score"], record.score or 0.0)
        metric = METRICS[method_of(self.proposer.config.run.method).metric()].name
        self.log(f"{record.name}: step {record.step}, {metric} {result['score']:.4f}")

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        record = self.trials[_name(trial)]
        _conclude(record, self.trials.store / record.name)
        self._ended(record)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        record, lines = self.trials[_name(trial)], Path(trial.error_file).read_text().strip().splitlines()
        record.state, record.message = "failed", lines[-1].strip()[:200]
        self._ended(record)

    def _ended(self, record: Trial) -> None:
        record.seconds = round(time.perf_counter() - self.started[record.name], 1)
        self.trials.save()
        reason = f": {record.message}" if record.message else ""
        self.log(f"{record.name}: {record.state} at step {record.step}{reason}")


def _trial(config: dict[str, Any]) -> None:
    """The driver of one trial; writes an error for the reader down, as it is a result and no crash."""
    run = parse(config["run"], TrainConfig)
    store = model_store(run)
    store.remove(FAILED)
    try:
        begin(run, store)
        fit_on_ray(run, store, tuning=True)
    except ScantsegError as error:
        store.write_json(FAILED, {"message": str(error)})


def _conclude(record: Trial, store: Store) -> None:
    """How a trial ended, by what it left: Tune does not hear of the last validation, before the model."""
    if store.exists(FAILED):
        record.state, record.message = "failed", store.read_json(FAILED, Failed).message
    elif store.exists("artifact.json"):
        counts = read_record(store)["counts"]
        best = best_score(counts)
        record.state, record.step, record.score = "finished", counts["steps"], best and best[1]
    else:
        record.state = "stopped"


def _scheduler(config: AshaConfig | None, steps: int) -> TrialScheduler:
    if config is None:
        return FIFOScheduler()
    grace, reduction = config.grace, config.reduction
    return AsyncHyperBandScheduler(
        time_attr="step", max_t=steps, grace_period=grace, reduction_factor=reduction, stop_last_trials=False
    )


def _name(trial: Any) -> str:
    """The name that we gave a trial of Tune."""
    return trial.config["run"]["name"]
