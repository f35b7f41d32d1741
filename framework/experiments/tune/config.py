"""The description of a search: what every trial trains, what it changes, and who goes on."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from framework.core.config_files import load_yaml, merge, override, parse
from framework.core.errors import ConfigError
from framework.core.names import Name
from framework.core.settings import PLACEMENT, Settings, digest, identity
from framework.experiments.pipeline.config import PipelineConfig
from framework.experiments.tune.space import Distribution, check_space, parse_space


class AshaConfig(Settings):
    """Asynchronous successive halving (Li et al. 2020): the best share of trials goes on from a rung."""

    name: Literal["asha"] = "asha"
    grace: int = Field(ge=1)
    """Steps before the first rung; the next ones are `reduction` times as far."""
    reduction: float = Field(2, gt=1)
    """One of so many trials goes on from a rung."""


class SearchConfig(Settings):
    """Everything that `scantseg tune` needs."""

    name: Annotated[Name, PLACEMENT]
    out: Annotated[str, PLACEMENT] = "searches"
    """Folder (local, s3://, gs://) that gets a folder of the search's name, and in it one model per trial."""
    run: PipelineConfig
    """What every trial trains; its own name and place are not used."""
    space: dict[str, Distribution]
    trials: Annotated[int, PLACEMENT] = Field(ge=1)
    metric: Literal["score"] = "score"
    """What is maximised: the mean validation score, of the metric by which the method is judged."""
    scheduler: AshaConfig | None = None
    """None lets every trial run to its end."""
    sampler: Literal["random", "tpe"] = "random"
    """Independent draws, or Optuna's tree-structured Parzen estimator, which learns from earlier trials."""
    seed: int = Field(0, ge=0, lt=2**31)
    concurrent: Annotated[int | None, PLACEMENT] = Field(None, ge=1)
    """Most trials at a time; by default, and at most, those that the cluster has processors for."""

    def hash(self) -> str:
        """What determines the trials: not how many there are, where, or how many at a time."""
        return digest([identity(self), self.run.identity(), self.run.corpus.path])


def load_search(path: str | Path, assignments: Sequence[str] = ()) -> SearchConfig:
    """The search that a YAML file and overrides describe; raises a one-line `ConfigError`.

    `run` is a run written out, which may itself `include: [FILE, …]`, or the name of a run's file beside it.
    """
    where, value = str(path), load_yaml(path)
    value["run"] = _load_run(value.get("run"), Path(path))
    override(value, assignments)
    if isinstance(value["run"], dict):
        value["run"].setdefault("name", value.get("name"))
    value["run"] = parse(value["run"], PipelineConfig, f"{where}: run")
    value["space"] = parse_space(value.get("space"), where)
    config: SearchConfig = parse(value, SearchConfig, where)
    _require_sense(config, where)
    check_space(config.run, config.space, where)
    return config


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
        fault = "run.compute.workers is 0, but every trial is a Ray Train run"
        raise ConfigError(f"{where}: {fault}; set at least 1")
    steps = config.run.train.steps
    if config.scheduler is not None and config.scheduler.grace >= steps:
        fault = f"scheduler.grace is {config.scheduler.grace} and a trial has {steps} steps"
        mend = "lower it, or leave the scheduler out"
        raise ConfigError(f"{where}: {fault}, so none would be stopped; {mend}")
