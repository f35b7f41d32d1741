"""What is to be compared: recipes, seeds, a split, and the recipe that the others are measured against."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from framework.core.config_files import load_yaml, merge, override, parse
from framework.core.errors import ConfigError, nearest
from framework.core.names import Name
from framework.core.settings import Settings
from framework.core.storage import Store
from framework.experiments.pipeline.config import PipelineConfig, SourceConfig
from framework.methods.registry import method_of
from framework.training.config import TrainConfig


class RecipeConfig(Settings):
    """One of the things compared: a run's file, and changes of its own."""

    config: str
    """A run's YAML file, seen from the folder of the comparison's file."""
    set: dict[str, Any] = {}
    """Changes of its keys, after those for every recipe; `models` may name an earlier recipe for a folder."""


class ComparisonConfig(Settings):
    """Everything that `scantseg compare` needs."""

    name: Name
    out: str = "comparisons"
    """Folder (local, s3:// or gs://) of the models and evaluations, the table and the page."""
    seeds: list[int] = Field(min_length=1)
    split: Literal["train", "val", "test"] = "val"
    """What is scored. Choices are made on `val`; `test` is for what has been chosen."""
    corpus: str | None = None
    source: SourceConfig | None = None
    """The corpus's path, and what it is built from, for every recipe; None leaves the recipes their own."""
    set: dict[str, Any] = {}
    """Changes for every recipe, such as `{train: {steps: 500}}`."""
    recipes: dict[Name, RecipeConfig] = Field(min_length=1)
    control: str
    """The recipe that the others are compared with."""
    parallel: int = Field(default=1, ge=1)
    """Runs that are trained at a time, whose steps then take longer. Runs with Ray's workers share a cluster
    that was started beforehand (`ray start --head`); without one each takes the whole machine for its own."""
    target_dice: float | None = Field(default=None, gt=0, le=1)
    """Validation Dice whose time is told; None tells none."""

    @model_validator(mode="after")
    def _consistent(self) -> ComparisonConfig:
        if self.control not in self.recipes:
            raise ValueError(f"control '{self.control}' is no recipe{nearest(self.control, self.recipes)}")
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds {self.seeds} name one twice; the same run twice says nothing new")
        return self


@dataclass(frozen=True)
class Comparison:
    """A description with the runs that its recipes stand for."""

    config: ComparisonConfig
    recipes: dict[str, PipelineConfig]

    @property
    def root(self) -> Store:
        return Store.at(self.config.out)

    @property
    def folder(self) -> Store:
        """Where the table goes."""
        return self.root / f"{self.config.name}-{self.config.split}"

    def run(self, recipe: str, seed: int) -> TrainConfig:
        """The run of one recipe and seed, in a folder of its own; it starts from recipes of the same seed."""
        described, models = self.recipes[recipe], dict(self.recipes[recipe].models)
        for role, model in models.items():
            if model in self.recipes:
                models[role] = (self.root / f"{model}-{seed}").url
        changes = {"name": f"{recipe}-{seed}", "out": self.config.out, "seed": seed, "models": models}
        return described.training().model_copy(update=changes)

    def starts_from(self, recipe: str, seed: int) -> list[tuple[str, int]]:
        """The earlier recipes, and their seed, whose models a recipe starts from."""
        return [(model, seed) for model in self.recipes[recipe].models.values() if model in self.recipes]


def load_comparison(path: str | Path, assignments: Sequence[str] = ()) -> Comparison:
    """The comparison of a YAML file and overrides of its own keys; raises a one-line `ConfigError`."""
    where, value = str(path), override(load_yaml(path), assignments)
    if isinstance(described := value.get("recipes"), dict):
        for name, recipe in described.items():
            described[name] = parse(recipe, RecipeConfig, f"{where}: recipe '{name}'")
    config: ComparisonConfig = parse(value, ComparisonConfig, where)
    recipes = {name: _described(config, name, Path(path)) for name in config.recipes}
    _require_one_corpus(recipes, where)
    _require_made_before(recipes, where)
    return Comparison(config, recipes)


def _described(config: ComparisonConfig, name: str, path: Path) -> PipelineConfig:
    """The run of a recipe: its file, the changes for every recipe, its own changes, the corpus."""
    recipe = config.recipes[name]
    value = merge(load_yaml(path.parent / recipe.config), {"name": name})
    for changes in (config.set, recipe.set):
        merge(value, copy.deepcopy(changes))
    if config.corpus is not None:
        merge(value, {"corpus": {"path": config.corpus}})
    if config.source is not None:
        value["source"] = config.source
    run: PipelineConfig = parse(value, PipelineConfig, f"{path}: recipe '{name}'")
    kind = method_of(run.method)
    if not kind.segments and not kind.classifies():
        fault = f"recipe '{name}' makes no masks and classifies nothing (method '{run.method.name}')"
        raise ConfigError(f"{path}: {fault}, so there is nothing to compare; leave it out")
    return run


def _require_made_before(recipes: dict[str, PipelineConfig], where: str) -> None:
    names = list(recipes)
    for place, (name, run) in enumerate(recipes.items()):
        me = f"{where}: recipe '{name}'"
        for role, model in run.models.items():
            if model in names[place:]:
                raise ConfigError(f"{me} starts from recipe '{model}', which comes no earlier; move it up")
            if "/" not in model and model not in names:
                hint = f"{nearest(model, names)} (a folder has a slash in it, such as ./{model})"
                raise ConfigError(f"{me}, models.{role}: there is no recipe '{model}'{hint}")


def _require_one_corpus(recipes: dict[str, PipelineConfig], where: str) -> None:
    paths = sorted({run.corpus.path for run in recipes.values()})
    if len(paths) > 1:
        fault = f"recipes read different corpora ({', '.join(paths)}), which share no cases; set 'corpus'"
        raise ConfigError(f"{where}: {fault}")
