"""One typed description of a training, from YAML and dotted overrides, and the identity of what it makes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import Field, model_validator

from framework.cluster.resources import Needs, Placement, Processes
from framework.core.config_files import load_yaml, override, parse
from framework.core.errors import nearest
from framework.core.names import Name
from framework.core.settings import BY_HASH, PLACEMENT, PlacementWhile, Settings, identity
from framework.loading.augmentation import AugmentConfig
from framework.loading.training_set import CorpusConfig
from framework.methods.registry import MethodConfig, method_of
from framework.methods.supervised import Supervised
from framework.networks.registry import NetworkConfig
from framework.networks.unet import UNetConfig
from framework.training.optimise import OptimiserConfig
from framework.training.precision import Precision
from framework.training.strategies.ddp import TorchStrategy
from framework.training.strategies.registry import StrategyConfig


class ScheduleConfig(Settings):
    """How long, how much at once, and how often to look."""

    steps: int = Field(default=1000, ge=1)
    batch: int = Field(default=8, ge=1)
    """Images of each stream in a step, over all workers."""
    ema: float = Field(default=0.0, ge=0, lt=1)
    """Decay of averaged weights, used for validation and prediction; 0 turns them off."""
    validate_every: Annotated[int, PlacementWhile("select", "last")] = Field(default=200, ge=1)
    checkpoint_every: Annotated[int, PLACEMENT] = Field(default=200, ge=1)
    select: Literal["last", "best"] = "last"
    """Which checkpoint becomes the model: the last, or the best on the validation split."""
    precision: Precision = "bf16"
    """`fp64` is double throughout: slow, to tell rounding from a fault."""


class ComputeConfig(Needs):
    """Where a run happens: no part of its result, but for dropout in MONAI's, timm's and smp's networks, and
    for rounding: workers and threads (`cpus_per_worker` or OMP_NUM_THREADS) add up in an order of their own,
    so that the bits are the same only where these are."""

    workers: int = Field(default=1, ge=0)
    """Ray Train workers; 0 trains in this process without Ray."""
    cpus_per_worker: int = Field(default=1, ge=1)
    placement: Placement = "PACK"
    """Workers on as few hosts as possible or spread over them; STRICT_: on one, or each on another."""
    env: dict[str, str] = {}
    """Environment of the workers, such as NCCL_SOCKET_IFNAME."""
    strategy: StrategyConfig = TorchStrategy.Config()
    max_failures: int = Field(default=2, ge=0)
    """How often a lost worker is replaced before the run gives up."""
    timeout_s: int = Field(default=300, ge=1)
    """Seconds that workers wait for one that does not come before the run ends. A worker that hangs holds all
    devices for so long; but all wait while the first one writes a checkpoint or the slowest one validates."""

    @property
    def processes(self) -> Processes:
        return Processes(self.workers, self.owned(self.cpus_per_worker), self.placement, self.labels)


class TrainConfig(Settings):
    """Everything that `scantseg train` needs."""

    name: Annotated[Name, PLACEMENT]
    out: Annotated[str, PLACEMENT] = "runs"
    """Folder (local, s3:// or gs://) that gets a folder of the run's name."""
    seed: int = 0
    corpus: CorpusConfig
    network: NetworkConfig = UNetConfig()
    method: MethodConfig = Supervised.Config()
    models: Annotated[dict[str, str], BY_HASH] = {}
    """Folders of the finished models that the method starts from, by their role."""
    augment: AugmentConfig = AugmentConfig()
    optimiser: OptimiserConfig = OptimiserConfig()
    train: ScheduleConfig = ScheduleConfig()
    compute: Annotated[ComputeConfig, PLACEMENT] = ComputeConfig()

    @model_validator(mode="after")
    def _method_fits(self) -> Self:
        method_of(self.method).check(self.method, self.network, self.corpus)
        method, roles = self.method.name, method_of(self.method).required_models(self.method)
        for role in self.models:
            if role not in roles:
                raise ValueError(f"models.{role}: method '{method}' has no such role{nearest(role, roles)}")
        for role in roles:
            if role not in self.models:
                fault = f"method '{method}' starts from a finished model"
                raise ValueError(f"{fault}: set models.{role} to the folder of one")
        return self

    def identity(self) -> dict[str, Any]:
        """What determines the result, by dotted key, the method's revision among it."""
        revision = method_of(self.method).revision
        return identity(self) | ({"method.revision": revision} if revision else {})

    def bound_to_steps(self) -> str:
        """The setting under which what a step does depends on how many there will be; "" where none does, so
        that a run that is not finished may be given more of them."""
        if self.optimiser.schedule != "constant":
            return f"optimiser.schedule {self.optimiser.schedule}"
        return method_of(self.method).bound_to_steps(self.method)

    def to_yaml(self) -> str:
        """The training alone: what a pipeline adds to it is left out."""
        values = self.model_dump(mode="json", include=set(TrainConfig.model_fields))
        return yaml.safe_dump(values, sort_keys=False)


def load_train(path: str | Path, assignments: Sequence[str] = ()) -> TrainConfig:
    """The training that a YAML file and overrides describe, without a pipeline's own keys."""
    values = override(load_yaml(path), assignments)
    own = {key: value for key, value in values.items() if key not in ("source", "stages")}
    return parse(own, TrainConfig, str(path))
