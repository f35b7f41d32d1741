"""The course of a search: corpus, trials, table."""

import yaml

from framework.core.callbacks import Log
from framework.core.errors import CorpusError, TrainingError
from framework.core.lock import lock
from framework.core.storage import Store
from framework.corpus.reader import Corpus
from framework.experiments.tune.config import SearchConfig
from framework.experiments.tune.trials import Trial, Trials, table
from framework.methods.registry import method_of
from framework.metrics.registry import METRICS


def search(config: SearchConfig, log: Log = print) -> list[Trial]:
    """Run what is left of a search and print its table; gives the trials, best first.

    The same call again recognises a finished search, continues an interrupted one, and tries failed trials
    again. Raises `TrainingError` when no trial has a score.
    """
    store = Store.at(config.out) / config.name
    trials = Trials.open(store, config.hash())
    if trials.left(config.trials):
        _run(config, trials, log)
    else:
        log(f"search {config.name} is finished: {store.url}")
    ranked = trials.ranked()
    for line in table(ranked, METRICS[method_of(config.run.method).metric()].name):
        log(line)
    if ranked[0].score is None:
        mend = "mend what the table says and run the same command again"
        raise TrainingError(f"search '{config.name}': every trial failed; {mend}")
    log(f"train the best in full: {train_command(config, ranked[0])}")
    return ranked


def train_command(config: SearchConfig, trial: Trial) -> str:
    """The command line that trains a model of its own with a trial's values; the steps may be raised."""
    described = f"{config.out}/{config.name}/{trial.name}/config.yaml"
    place = f"name={config.name}-best out={config.run.out}"
    return f"scantseg train {described} {place} train.steps={config.run.train.steps}"


def _run(config: SearchConfig, trials: Trials, log: Log) -> None:
    from framework.cluster.resources import wait_for_room
    from framework.core.ray_runtime import start_ray
    from framework.experiments.pipeline.run import build_corpus
    from framework.experiments.tune.tuner import run_trials

    described = yaml.safe_dump(config.model_dump(mode="json", exclude_none=True), sort_keys=False)
    with lock(trials.store, trials.hash) as held:
        trials.store = held
        start_ray()
        compute = config.run.compute
        wait_for_room(compute.processes, "run.compute.workers", compute.wait_minutes, log)
        build_corpus(config.run, log)
        if method_of(config.run.method).segments:
            _require_validation(config.run.corpus.path)
        trials.store.write_text("search.yaml", described)
        run_trials(config, trials, log)


def _require_validation(path: str) -> None:
    index = Corpus.open(path).index_columns
    if ("val", "mask") not in zip(index["split"], index["mask_kind"], strict=True):
        fault = "no validation image has a mask, so trials cannot be compared"
        raise CorpusError(f"{path}: {fault}; give some images the split 'val'")
