"""What a method is: an `nn.Module` that owns its networks, and says what it reads and minimises."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Protocol, runtime_checkable

from torch import Tensor, nn

from framework.core.config_files import merge
from framework.core.settings import Settings
from framework.corpus.schema import LabelInfo
from framework.corpus.targets import Target
from framework.loading.loader import Batch, Stream, StreamBatch
from framework.loading.training_set import CorpusConfig
from framework.methods.sections import ModelRecord, Section
from framework.networks.registry import architecture_of


@dataclass(frozen=True)
class MethodContext:
    """What a method may know of the run it is in."""

    names: Sequence[str]
    """Classes of the masks, background first."""
    steps: int
    """Length of the run."""
    seed: int
    """Random parts of a step are drawn by (seed, step, id)."""
    network: Callable[[int], nn.Module]
    """Builds network 0, 1, … of the run's architecture, each with its own initialisation."""
    channels: int
    """Channels of the images."""
    labels: Sequence[LabelInfo] = ()
    """The corpus's image-level labels."""

    @property
    def classes(self) -> int:
        """K, background included."""
        return len(self.names)

    @property
    def lesions(self) -> int:
        """L: how many structures may overlap; all classes but the background."""
        return self.classes - 1


Read = Callable[[str], Iterator[StreamBatch]]
"""From a stream's name to this rank's share of its images, without augmentation."""


class Update(NamedTuple):
    """One step for the loop to make: backward on `loss`, then step the optimiser of `group`."""

    group: str
    loss: Tensor
    metrics: dict[str, Tensor]
    """Scalars for the log, detached; means over this rank's equal share of the batch, or global values."""
    lr_scale: float = 1.0
    """Factor on the run's learning rate."""


class PretrainedModel(NamedTuple):
    """A finished model that a method starts from."""

    state: Mapping[str, Tensor]
    classes: Sequence[str]
    """Classes of its masks, background first."""
    method: Settings
    """The settings of the method that trained it."""

    def weights(self, module: str) -> dict[str, Tensor]:
        """The state of the module of a dotted name, empty where the model has none."""
        prefix = f"{module}."
        return {name.removeprefix(prefix): w for name, w in self.state.items() if name.startswith(prefix)}


class Needs(NamedTuple):
    """What a method asks of the run's network and corpus."""

    encoder: bool = False
    """Its networks are encoders, which give features, and not segmenters, which give logits."""
    volumes: bool = True
    """It can also learn from volumes."""


class Example(NamedTuple):
    """A tiny run on which the contract tests a method: its settings, and what else it changes in a run."""

    method: dict[str, Any] = {}
    changes: dict[str, Any] = {}
    """`corpus.layers` may name layers "box" and "seed", `models` other methods."""
    volumes: bool = False
    """It is tried on volumes too."""


class Method(nn.Module, ABC):
    """Base of all methods: a subclass fills `networks` and writes `train_step`, and `predict` or `classify`.

    `networks` maps the name of an optimiser group to the module that it trains: state and checkpoints are
    theirs. `frozen` has what it uses but does not train: always in evaluation mode, outside optimisers and
    strategies. `live` has the networks as the strategy wrapped them (DDP, DeepSpeed), for training steps.
    """

    Config: ClassVar[type[Settings]]
    """Its settings, with a `name` of its own."""
    learns_from: ClassVar[str]
    """In a few words, for `scantseg methods`."""
    source: ClassVar[str]
    """The paper it is from."""
    needs: ClassVar[Needs] = Needs()
    streams: tuple[Stream, ...]
    """What a batch is made of: an attribute of the class, or of the instance where settings matter."""
    revision: ClassVar[int] = 0
    """Raised by a change after which the same settings give another model: older ones no longer count."""
    segments: ClassVar[bool] = True
    """Whether it makes masks."""
    targets: tuple[Target, ...] = ()
    """What it classifies whole images by."""
    multilabel: ClassVar[bool] = False
    """Whether structures may overlap: masks are bits (bit i is class i + 1), networks have no channel for the
    background, channel k > 0 of `predict` is the probability of class k alone, channel 0 that of none."""
    examples: ClassVar[dict[str, Example]] = {}
    """Tiny runs by variant, the plain one under "", for the contract tests and the golden losses."""

    def __init__(self) -> None:
        super().__init__()
        self.networks = nn.ModuleDict()
        self.frozen = nn.ModuleDict()
        self.live: dict[str, nn.Module] = {}

    @classmethod
    def check(cls, config: Any, network: Any, corpus: CorpusConfig) -> None:
        """Raise `ValueError` where the run's network or corpus does not fit the method under its settings."""
        kind = architecture_of(network)
        me, given = f"method '{config.name}'", f"network '{network.name}'"
        if cls.needs.encoder and not kind.gives_features:
            raise ValueError(f"{me} reads features, which {given} does not give; set network.name to encoder")
        if kind.gives_features and not cls.needs.encoder:
            raise ValueError(f"{given} makes no masks, as {me} must; set network.name to unet or smp")
        if corpus.patch and not cls.needs.volumes:
            raise ValueError(f"{me} takes images, corpus.patch makes volumes; leave corpus.patch out")
        if corpus.patch and not kind.takes_volumes:
            raise ValueError(f"{given} takes images, corpus.patch makes volumes; set network.name to monai")
        if kind.takes_volumes and not corpus.patch:
            mend = "set corpus.patch to slices, rows and columns, such as [8, 96, 96]"
            raise ValueError(f"{given} takes volumes; {mend}")

    @classmethod
    def example(cls, variant: str = "") -> dict[str, Any]:
        """What the tiny run of a variant sets of a run's configuration."""
        settings, changes, _ = cls.examples[variant]
        network = {"name": "encoder", "widths": [4, 4, 8, 8]} if cls.needs.encoder else {"widths": [4, 8]}
        return copy.deepcopy(merge({"network": network, "method": settings}, changes))

    @classmethod
    def required_models(cls, config: Any) -> tuple[str, ...]:
        """The roles of the finished models that it starts from under its settings."""
        return ()

    @classmethod
    def bound_to_steps(cls, config: Any) -> str:
        """The setting under which an update depends on `MethodContext.steps`, "" where none does."""
        return "method.ramp" if getattr(config, "ramp", 0.0) else ""

    @classmethod
    def classifies(cls) -> bool:
        """Whether it classifies whole images."""
        return cls.classify is not Method.classify

    @classmethod
    def metric(cls) -> str:
        """The key of the metric on validation images that judges it; its larger values are better."""
        if not cls.segments:
            return "auc"
        return "aupr" if cls.multilabel else "dice"

    @classmethod
    def report(cls, record: ModelRecord) -> list[Section]:
        """What a report shows of a model of this method beside what it shows of every model."""
        return []

    def load_pretrained(self, role: str, model: PretrainedModel) -> None:
        """Take the weights of a role's finished model, before training; raises `RuntimeError` when they do
        not fit, `ConfigError` for another kind of model."""

    def prepare(self, ids: Mapping[str, Sequence[str]], read: Read) -> None:
        """Before training, make state that depends on the images: `ids` by stream, `read` gives them."""

    def train(self, mode: bool = True) -> Method:
        super().train(mode)
        self.frozen.eval()
        return self

    @abstractmethod
    def train_step(self, batch: Batch, step: int) -> Iterator[Update]:
        """Yield the updates of one step; the loop makes each before it asks for the next."""

    def predict(self, image: Tensor) -> dict[str, Tensor]:
        """Probabilities `[B, K, H, W]` by predictor, the default one first."""
        return {}

    def classify(self, image: Tensor) -> dict[str, Tensor]:
        """Probabilities `[B, C]` by target."""
        return {}

    def explain(self, image: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Maps `[B, h, w]` in 0..1 and masks `[B, H, W]` of class ids (255: unlabelled), by title, to look
        at: of images `[B, C, H, W]` with image-level labels `[B, L]`."""
        return {}

    def after_step(self, step: int, read: Read) -> None:
        """Work after a step's updates, such as moving an average; called on all ranks."""

    def statistics(self) -> dict[str, Tensor]:
        """Vectors `[K]` and scalars for the log, global over ranks."""
        return {}

    def tables(self) -> dict[str, dict[str, list]]:
        """Tables to write beside the finished model, by name: columns `id` and `weight` of equal length."""
        return {}

    def call(self, group: str, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Run a group's networks in training, as the strategy wrapped them."""
        return self.live.get(group, self.networks[group])(*inputs)


@runtime_checkable
class FindsBoundaries(Protocol):
    """A method whose models can guide the random walk."""

    def boundaries(self, image: Tensor) -> Tensor:
        """Probability of a boundary `[B, h, w]`, float32, on a grid of stride 4, of images `[B, C, H, W]`."""
        ...


@runtime_checkable
class Explainable(Protocol):
    """A method that class activation maps can explain; its class has `targets_of(settings, labels)`."""

    @property
    def stride(self) -> int:
        """Stride of the coarsest level, in pixels."""
        ...

    def features(self, image: Tensor) -> list[Tensor]:
        """The levels `[B, D, h, w]` that it classifies by, the coarsest last."""
        ...

    def decide(self, levels: list[Tensor]) -> tuple[Tensor, ...]:
        """The logits `[B, C]` of each target from those levels."""
        ...
