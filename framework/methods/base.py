"""What a method is: an `nn.Module` that owns its networks and says what it reads and what it minimises."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Protocol, runtime_checkable

from torch import Tensor, nn

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
"""This rank's share of all images of a stream, by its name, without augmentation."""


class Update(NamedTuple):
    """One optimiser step that the loop shall make: backward on `loss`, then step the optimiser of `group`."""

    group: str
    loss: Tensor
    metrics: dict[str, Tensor]
    """Scalars for the log, detached; means over this rank's equal share of the batch, or global values."""
    lr_scale: float = 1.0
    """Share of the run's learning rate that this group learns with."""


class PretrainedModel(NamedTuple):
    """A finished model that a method starts from."""

    state: Mapping[str, Tensor]
    classes: Sequence[str]
    """Classes of its masks, background first."""
    method: Settings
    """The settings of the method that trained it."""


class Needs(NamedTuple):
    """What a method asks of the run's network and corpus."""

    encoder: bool = False
    """Its networks are encoders, which give features, and not segmenters, which give logits."""
    volumes: bool = True
    """It can learn from volumes as well as from images."""


class Example(NamedTuple):
    """A tiny run of a method, on which the contract tests every method: what it changes in a run of the test's own."""

    changes: dict[str, Any]
    """`method` holds its settings; `corpus.layers` may name the layers "box" and "seed", `models` other methods."""
    volumes: bool = False
    """The same is tried on volumes too."""


TINY_ENCODER = {"name": "encoder", "widths": [4, 4, 8, 8]}
"""The network of examples of methods that need an encoder."""


class Method(nn.Module, ABC):
    """Base of all methods. A subclass fills `networks`, and writes `train_step` and `predict`, `classify` or both.

    `networks` maps the name of an optimiser group to the module that it trains: state and checkpoints are read there.
    `frozen` holds what it uses but does not train: always in evaluation mode, outside optimisers and strategies.
    `live` holds the same modules as the strategy wrapped them (DDP, DeepSpeed): a training step calls these.
    """

    Config: ClassVar[type[Settings]]
    """Its settings, with a `name` of its own."""
    learns_from: ClassVar[str]
    """In a few words, for `scantseg methods`."""
    source: ClassVar[str]
    """The paper it is from."""
    needs: ClassVar[Needs] = Needs()
    streams: tuple[Stream, ...]
    """What a batch holds; of the class, or of a single method where its settings matter."""
    revision: ClassVar[int] = 0
    """Raised by a change after which the same settings give another model, so that one of older code is not taken for it."""
    segments: ClassVar[bool] = True
    """Whether it makes masks."""
    targets: tuple[Target, ...] = ()
    """Which questions about whole images it answers."""
    multilabel: ClassVar[bool] = False
    """Whether the structures it finds may overlap: its masks are bits (bit i is class i + 1), its networks have no channel for
    the background, channel k > 0 of `predict` is the probability of class k by itself, channel 0 that of none."""

    def __init__(self) -> None:
        super().__init__()
        self.networks = nn.ModuleDict()
        self.frozen = nn.ModuleDict()
        self.live: dict[str, nn.Module] = {}

    @classmethod
    def check(cls, config: Any, network: Any, corpus: CorpusConfig) -> None:
        """Raise `ValueError` where the run's network or corpus does not fit the method under its settings."""
        kind, given = architecture_of(network), f"network '{network.name}'"
        volumes = f"method '{config.name}' takes images, corpus.patch makes volumes; leave corpus.patch out"
        if cls.needs.encoder and not kind.gives_features:
            raise ValueError(
                f"method '{config.name}' reads features, which {given} does not give; set network.name to encoder"
            )
        if kind.gives_features and not cls.needs.encoder:
            raise ValueError(
                f"{given} makes no masks, as method '{config.name}' must; set network.name to unet or smp"
            )
        if corpus.patch and not cls.needs.volumes:
            raise ValueError(volumes)
        if corpus.patch and not kind.takes_volumes:
            raise ValueError(f"{given} takes images, corpus.patch makes volumes; set network.name to monai")
        if kind.takes_volumes and not corpus.patch:
            raise ValueError(
                f"{given} takes volumes; set corpus.patch to slices, rows and columns, such as [8, 96, 96]"
            )

    @classmethod
    def required_models(cls, config: Any) -> tuple[str, ...]:
        """The roles of the finished models that it starts from, under its settings."""
        return ()

    @classmethod
    def classifies(cls) -> bool:
        """Whether it answers questions about whole images."""
        return cls.classify is not Method.classify

    @classmethod
    def metric(cls) -> str:
        """The key of the metric on validation images by which it is judged, one whose larger values are better."""
        if not cls.segments:
            return "auc"
        return "aupr" if cls.multilabel else "dice"

    @classmethod
    def example(cls) -> dict[str, Example]:
        """Tiny runs by variant, the plain one under "": each goes through the contract and the golden losses."""
        return {}

    @classmethod
    def report(cls, record: ModelRecord) -> list[Section]:
        """What a report shows of a model of this method beside what it shows of every model."""
        return []

    def load_pretrained(self, role: str, model: PretrainedModel) -> None:
        """Take over the weights of the finished model of a role, before training.

        Raises `RuntimeError` when they do not fit, `ConfigError` when they are of another kind of model.
        """

    def prepare(self, ids: Mapping[str, Sequence[str]], read: Read) -> None:
        """Make room for state that belongs to single images, or count them: the ids of every stream, before training."""

    def train(self, mode: bool = True) -> Method:
        super().train(mode)
        self.frozen.eval()
        return self

    @abstractmethod
    def train_step(self, batch: Batch, step: int) -> Iterator[Update]:
        """Yield the updates of one step; between two yields the loop has made the first."""

    def predict(self, image: Tensor) -> dict[str, Tensor]:
        """Probabilities `[B, K, H, W]` by predictor; the first is the one to use when nobody chooses."""
        return {}

    def classify(self, image: Tensor) -> dict[str, Tensor]:
        """Probabilities `[B, C]` by target."""
        return {}

    def explain(self, image: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """What it sees in images `[B, C, H, W]` with image-level labels `[B, L]`, to look at, by title.

        Maps are `[B, h, w]` in 0..1; masks are `[B, H, W]` int64 of class ids, 255 where nothing is claimed.
        """
        return {}

    def after_step(self, step: int, read: Read) -> None:
        """Work after the updates of a step, such as moving an average; called on all ranks."""

    def statistics(self) -> dict[str, Tensor]:
        """What is worth a look now and then: `[K]` vectors and scalars, global over ranks."""
        return {}

    def tables(self) -> dict[str, dict[str, list]]:
        """What is written beside the finished model, by name: columns `id` and `weight` of equal length."""
        return {}

    def call(self, group: str, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Run a group's networks in training: wrapped by the strategy where there is one."""
        return self.live.get(group, self.networks[group])(*inputs)


@runtime_checkable
class FindsBoundaries(Protocol):
    """A method whose models can guide the random walk."""

    def boundaries(self, image: Tensor) -> Tensor:
        """Probability of a boundary `[B, h, w]`, float32, on a grid of stride 4, of images `[B, C, H, W]`."""
        ...


@runtime_checkable
class Explainable(Protocol):
    """A method whose answers class activation maps can explain."""

    @property
    def stride(self) -> int:
        """Pixels of an image to a cell of the coarsest level."""
        ...

    def features(self, image: Tensor) -> list[Tensor]:
        """The levels `[B, D, h, w]` that answers are read from, the last one last."""
        ...

    def decide(self, levels: list[Tensor]) -> tuple[Tensor, ...]:
        """The logits `[B, C]` of each target that levels lead to."""
        ...
