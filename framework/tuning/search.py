"""The description of a search and its course: check, corpus, trials, table."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field

from framework.config import RunConfig, load_yaml, merge, override, parse
from framework.corpus.reader import Corpus
from framework.errors import ConfigError, CorpusError, TrainingError
from framework.methods.build import makes_masks, measure_of
from framework.storage import Store
from framework.tuning.space import Distribution, check_space, parse_space
from framework.tuning.trials import Trial, Trials, table

Say = Callable[[str], None]


class AshaConfig(BaseModel):
    """Asynchronous successive halving (Li et al. 2020): of the trials that reach a rung, only the best share goes on."""

    model_config = ConfigDict(extra="forbid")
    name: Literal["asha"] = "asha"
    grace: int = Field(ge=1)
    """Steps before the first rung; the next ones are `reduction` times as far."""
    reduction: float = Field(2, gt=1)
    """One of so many trials goes on from a rung."""


class SearchConfig(BaseModel):
    """Everything that `scantseg tune` needs."""

    model_config = ConfigDict(extra="forbid")
    name: str = Field(pattern=r"^[\w.-]+$")
    out: str = "searches"
    """Folder (local or s3://) that gets a folder of the search's name, and in it one model per trial."""
    run: RunConfig
    """What every trial trains; its own name and place are not used."""
    space: dict[str, Distribution]
    trials: int = Field(ge=1)
    metric: Literal["score"] = "score"
    """What is maximised: the mean score on the validation split by which the method is judged, Dice, AUPR or AUC."""
    scheduler: AshaConfig | None = None
    """None lets every trial run to its end."""
    sampler: Literal["random", "tpe"] = "random"
    """Independent draws, or Optuna's tree-structured Parzen estimator, which learns from the trials before."""
    seed: int = Field(0, ge=0, lt=2**31)
    concurrent: int | None = Field(None, ge=1)
    """Most trials at a time; never more than the cluster has processors for, which is also the default."""

    def hash(self) -> str:
        """Of what determines the trials: not how many, where or how many at a time."""
        held = self.model_dump(mode="json", exclude={"name", "out", "run", "trials", "concurrent"})
        text = json.dumps([held, self.run.identity(), self.run.corpus.path], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def load_search(path: str | Path, assignments: Sequence[str] = ()) -> SearchConfig:
    """The search that a YAML file and overrides describe; raises a one-line `ConfigError`.

    `run` is a run written out, which may itself `include: [FILE, …]`, or the name of a run's file beside this one.
    """
    where, value = str(path), load_yaml(path)
    value["run"] = _load_run(value.get("run"), Path(path))
    override(value, assignments)
    if isinstance(value["run"], dict):
        value["run"].setdefault("name", value.get("name"))
    value["run"] = parse(value["run"], RunConfig, f"{where}: run")
    value["space"] = parse_space(value.get("space"), where)
    config: SearchConfig = parse(value, SearchConfig, where)
    _require_sense(config, where)
    check_space(config.run, config.space, where)
    return config


def search(config: SearchConfig, say: Say = print) -> list[Trial]:
    """Run what is left of a search and print its table; gives the trials, best first.

    The same call again recognises a finished search, continues an interrupted one, and tries failed trials again.
    Raises `TrainingError` when no trial has a score.
    """
    store = Store.at(config.out) / config.name
    trials = Trials.open(store, config.hash())
    if trials.left(config.trials):
        _run(config, trials, say)
    else:
        say(f"search {config.name} is finished: {store.url}")
    ranked = trials.ranked()
    for line in table(ranked, measure_of(config.run.method)):
        say(line)
    if ranked[0].score is None:
        raise TrainingError(f"search '{config.name}': every trial failed; mend what the table says and run the same command again")
    say(f"train the best in full: {train_command(config, ranked[0])}")
    return ranked


def train_command(config: SearchConfig, trial: Trial) -> str:
    """The command line that trains a model of its own with a trial's values; the steps are there to be raised."""
    described = f"{config.out}/{config.name}/{trial.name}/config.yaml"
    return f"scantseg train {described} name={config.name}-best out={config.run.out} train.steps={config.run.train.steps}"


def _run(config: SearchConfig, trials: Trials, say: Say) -> None:
    from framework.pipeline.run import build_corpus
    from framework.training.ray_driver import require_resources, start_ray
    from framework.tuning.tuner import run_trials

    described = yaml.safe_dump(config.model_dump(mode="json", exclude_none=True), sort_keys=False)
    with trials.store.held():
        start_ray()
        require_resources(config.run.compute)
        build_corpus(config.run, say)
        if makes_masks(config.run.method):
            _require_validation(config.run.corpus.path)
        trials.store.write_text("search.yaml", described)
        run_trials(config, trials, say)


def _load_run(value: Any, path: Path) -> Any:
    if isinstance(value, str):
        return load_yaml(path.parent / value)
    if not isinstance(value, dict):
        raise ConfigError(f"{path}: 'run' is a run written out, or the name of a run's file beside this one")
    merged: dict[str, Any] = {}
    for name in value.pop("include", []):
        merge(merged, load_yaml(path.parent / name))
    return merge(merged, value)


def _require_sense(config: SearchConfig, where: str) -> None:
    if config.run.compute.workers == 0:
        raise ConfigError(f"{where}: run.compute.workers is 0, but every trial is a Ray Train run; set at least 1")
    steps = config.run.train.steps
    if config.scheduler is not None and config.scheduler.grace >= steps:
        raise ConfigError(
            f"{where}: scheduler.grace is {config.scheduler.grace} and a trial has {steps} steps, so none would be stopped; "
            "lower it, or leave the scheduler out"
        )


def _require_validation(path: str) -> None:
    light = Corpus.open(path).light
    if not any(split == "val" and kind == "mask" for split, kind in zip(light["split"], light["mask_kind"], strict=True)):
        raise CorpusError(f"{path}: no validation image has a mask, so trials cannot be compared; give some images the split 'val'")
