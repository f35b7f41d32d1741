"""One typed description of a run. YAML holds it, dotted overrides change it, and its hash names what it made."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from framework.config_faults import explain, models_of
from framework.corpus.augment import AugmentConfig
from framework.corpus.training_set import CorpusConfig
from framework.errors import ConfigError, nearest
from framework.methods.build import MethodConfig, finds_overlapping, reads_features, revision_of, roles_of
from framework.methods.irnet import IRNetConfig
from framework.methods.lesions import LesionConfig
from framework.methods.supervised import SupervisedConfig
from framework.networks.build import NetworkConfig, UNetConfig
from framework.networks.irnet import cells
from framework.pipeline.stages import SourceConfig, Stage, default_stages
from framework.training.optimise import OptimiserConfig
from framework.training.precision import Precision
from framework.training.strategies import StrategyConfig


class TrainConfig(BaseModel):
    """How long, how much at once, and how often to look."""

    model_config = ConfigDict(extra="forbid")
    steps: int = Field(default=1000, ge=1)
    batch: int = Field(default=8, ge=1)
    """Images of each stream in a step, over all workers."""
    ema: float = Field(default=0.0, ge=0, lt=1)
    """Decay of averaged weights, used for validation and prediction; 0 turns them off."""
    validate_every: int = Field(default=200, ge=1)
    checkpoint_every: int = Field(default=200, ge=1)
    select: Literal["last", "best"] = "last"
    """Which checkpoint becomes the model: the last, or the best on the validation split."""
    precision: Precision = "bf16"
    """`fp64` is double throughout: slow, and for telling rounding from a fault."""


class ComputeConfig(BaseModel):
    """Where a run happens; nothing here changes its result, dropout inside MONAI's, timm's and smp's networks excepted."""

    model_config = ConfigDict(extra="forbid")
    workers: int = Field(default=1, ge=0)
    """Ray Train workers; 0 trains in this process without Ray."""
    cpus_per_worker: int = Field(default=1, ge=1)
    gpu: bool = False
    strategy: StrategyConfig = StrategyConfig()
    max_failures: int = Field(default=2, ge=0)
    """How often a lost worker is replaced before the run gives up."""


class RunConfig(BaseModel):
    """Everything that `scantseg train` and `scantseg run` need."""

    model_config = ConfigDict(extra="forbid")
    name: str = Field(pattern=r"^[\w.-]+$")
    out: str = "runs"
    """Folder (local or s3://) that gets a folder of the run's name."""
    seed: int = 0
    corpus: CorpusConfig
    network: NetworkConfig = UNetConfig()
    method: MethodConfig = SupervisedConfig()
    models: dict[str, str] = {}
    """Folders of the finished models that the method starts from, by their role."""
    augment: AugmentConfig = AugmentConfig()
    optimiser: OptimiserConfig = OptimiserConfig()
    train: TrainConfig = TrainConfig()
    compute: ComputeConfig = ComputeConfig()
    source: SourceConfig | None = None
    """What `scantseg run` builds the corpus from."""
    stages: list[Stage] = Field(default_factory=default_stages)
    """What `scantseg run` makes, in order."""

    @model_validator(mode="after")
    def _network_fits_method(self) -> RunConfig:
        method, network = self.method.name, self.network.name
        features = reads_features(self.method)
        if features and network != "encoder":
            raise ValueError(
                f"method '{method}' reads features, which network '{network}' does not give; set network.name to encoder"
            )
        if network == "encoder" and not features:
            raise ValueError(f"network 'encoder' makes no masks, as method '{method}' must; set network.name to unet or smp")
        if self.corpus.patch and features:
            raise ValueError(f"method '{method}' takes images, corpus.patch makes volumes; leave corpus.patch out")
        return self

    @model_validator(mode="after")
    def _of_one_dimension(self) -> RunConfig:
        if self.corpus.patch and finds_overlapping(self.method):
            raise ValueError(f"method '{self.method.name}' takes images, corpus.patch makes volumes; leave corpus.patch out")
        if self.corpus.patch and self.network.name != "monai":
            raise ValueError(f"network '{self.network.name}' takes images, corpus.patch makes volumes; set network.name to monai")
        if self.network.name == "monai" and not self.corpus.patch:
            raise ValueError("network 'monai' takes volumes; set corpus.patch to slices, rows and columns, such as [8, 96, 96]")
        if self.corpus.patch and self.method.name == "unimatch":
            raise ValueError(
                "method 'unimatch' perturbs features, which MONAI's networks do not hand out; use fixmatch for volumes"
            )
        return self

    @model_validator(mode="after")
    def _models_have_roles(self) -> RunConfig:
        method, roles = self.method.name, roles_of(self.method)
        for role in self.models:
            if role not in roles:
                raise ValueError(f"models.{role}: method '{method}' has no such role{nearest(role, roles)}")
        for role in roles:
            if role not in self.models:
                raise ValueError(f"method '{method}' starts from a finished model: set models.{role} to the folder of one")
        return self

    @model_validator(mode="after")
    def _pairs_fit_pictures(self) -> RunConfig:
        side = cells(self.corpus.size)
        if isinstance(self.method, IRNetConfig) and self.method.radius >= side:
            fault = f"{self.method.radius} reaches across the whole grid, {side} a side for corpus.size {self.corpus.size}"
            raise ValueError(f"method.radius: {fault}; give a smaller radius or larger pictures")
        return self

    @model_validator(mode="after")
    def _judge_fits_pictures(self) -> RunConfig:
        judge = self.method.adversary if isinstance(self.method, LesionConfig) else None
        if judge and 2 ** len(judge.widths) > self.corpus.size:
            count = len(judge.widths)
            raise ValueError(f"method.adversary.widths: {count} levels halve {self.corpus.size} pixels to nothing; give fewer")
        return self

    def identity(self) -> dict[str, Any]:
        """What determines the result, by dotted key: not its name, place or workers, but the method's revision."""
        held = self.model_dump(exclude={"name", "out", "compute", "source", "stages", "models"})
        if revision := revision_of(self.method):
            held["method"]["revision"] = revision
        held["corpus"] = {k: v for k, v in held["corpus"].items() if k not in ("path", "cache_mb")}
        return dict(_flatten(held))

    def hash(self) -> str:
        text = json.dumps(self.identity(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def to_yaml(self) -> str:
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False)


def load_yaml(path: str | Path, within: tuple[Path, ...] = ()) -> dict[str, Any]:
    """A YAML file as a mapping; `include: [FILE, …]` merges others beneath it (`within`: those that include this one).

    Raises `ConfigError`.
    """
    path = Path(path)
    if path.resolve() in within:
        raise ConfigError(f"{path}: includes itself; take it out of its 'include', or out of that of a file it includes")
    value = _read_yaml(path)
    names = value.pop("include", [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ConfigError(f"{path}: 'include' is {names!r}; it is a list of file names, such as [base.yaml]")
    merged: dict[str, Any] = {}
    for name in names:
        merge(merged, load_yaml(path.parent / name, (*within, path.resolve())))
    return merge(merged, value)


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        value = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such configuration file; those here: {_yaml_files(path)}") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); give a YAML file") from None
    except (yaml.YAMLError, ValueError) as error:  # ValueError: other bytes than UTF-8, or a date such as 2026-13-01
        raise ConfigError(f"{path}: not valid YAML ({' '.join(str(error).split())[:160]})") from None
    if not isinstance(value, dict):
        raise ConfigError(f"{path}: holds no keys; a configuration is a mapping of keys to values")
    return value


def merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Lay one mapping over another, key by key, in place; a `name` that changes starts its section anew."""
    for key, value in over.items():
        held = base.get(key)
        if isinstance(value, dict) and isinstance(held, dict) and value.get("name", held.get("name")) == held.get("name"):
            merge(held, value)
        else:
            base[key] = value
    return base


def override(base: dict[str, Any], assignments: Sequence[str]) -> dict[str, Any]:
    """Apply `key.sub=value` assignments in place; values are read as YAML. Raises `ConfigError` for other forms."""
    for text in assignments:
        dotted, equals, value = text.partition("=")
        if not equals or not dotted:
            raise ConfigError(f"'{text}': an override has the form key.sub=value")
        try:
            parsed = yaml.safe_load(value)
        except (yaml.YAMLError, ValueError):
            raise ConfigError(f"'{text}': the value is not valid YAML") from None
        nested: Any = parsed
        for part in reversed(dotted.split(".")):
            nested = {part: nested}
        merge(base, nested)
    return base


def parse(value: dict[str, Any], model: Any = RunConfig, where: str = "configuration") -> Any:
    """Validate a mapping; raises a one-line `ConfigError` with the dotted key and, for unknown keys, the nearest known one."""
    try:
        return TypeAdapter(model).validate_python(value)
    except ValidationError as error:
        raise ConfigError(f"{where}: " + "; ".join(explain(fault, model) for fault in error.errors()[:3])) from None


def load_run(path: str | Path, assignments: Sequence[str] = ()) -> RunConfig:
    """The run that a YAML file and overrides describe."""
    return parse(override(load_yaml(path), assignments), RunConfig, str(path))


def known_keys(model: type[BaseModel] = RunConfig, prefix: str = "") -> Iterator[str]:
    """All dotted keys of a description, those of every method and network included."""
    for name, info in model.model_fields.items():
        yield prefix + name
        for nested in models_of(info.annotation):
            yield from known_keys(nested, f"{prefix}{name}.")


ORDERED = ("targets", "classes")
"""Mappings whose order counts too: of a network's outputs, and of the targets, by the first of which images are drawn."""


def _flatten(value: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, held in value.items():
        if isinstance(held, dict):
            if key in ORDERED:
                yield prefix + key, list(held)
            yield from _flatten(held, f"{prefix}{key}.")
        else:
            yield prefix + key, held


def _yaml_files(path: Path) -> str:
    found = sorted(p.name for p in path.parent.glob("*.yaml")) if path.parent.is_dir() else []
    return ", ".join(found[:12]) or "none"
