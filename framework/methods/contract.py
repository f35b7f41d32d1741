"""What a method is: an `nn.Module` that owns its networks and says what it eats and what it minimises."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from pydantic import BaseModel
from torch import Tensor, nn

from framework.corpus.loader import Batch, Stream, StreamBatch
from framework.corpus.schema import LabelInfo
from framework.corpus.targets import Target


@dataclass(frozen=True)
class Setting:
    """What a method may know of the run it is in."""

    names: Sequence[str]
    """Of the classes, background first."""
    steps: int
    """Length of the run."""
    seed: int
    """Of the run: random parts of a step are drawn by (seed, step, id)."""
    network: Callable[[int], nn.Module]
    """Builds network 0, 1, … of the run's architecture, each with its own initialisation."""
    channels: int
    """Of the images."""
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
    rate: float = 1.0
    """Share of the run's learning rate that this group learns with."""


class Finished(NamedTuple):
    """A finished model that a method starts from."""

    state: Mapping[str, Tensor]
    classes: Sequence[str]
    """Of its masks, background first."""
    method: BaseModel
    """The configuration of the method that trained it."""


class Method(nn.Module, ABC):
    """Base of all methods. A subclass fills `networks`, and writes `train_step` and `predict`, `classify` or both.

    `networks` maps the name of an optimiser group to the module that it trains: state and checkpoints are read there.
    `frozen` holds what it uses but does not train: always in evaluation mode, outside optimisers and strategies.
    `live` holds the same modules as the strategy wrapped them (DDP, DeepSpeed): a training step calls these.
    """

    streams: tuple[Stream, ...]
    """What a batch holds; of the class, or of a single method where its settings matter."""
    revision: ClassVar[int] = 0
    """Raised by a change after which the same settings give another model, so that one of older code is not taken for it."""
    segments: ClassVar[bool] = True
    """Whether it makes masks."""
    targets: tuple[Target, ...] = ()
    """Which questions about whole images it answers."""
    reads_features: ClassVar[bool] = False
    """Whether its networks are encoders, which give features, and not segmenters, which give logits."""
    overlapping: ClassVar[bool] = False
    """Whether the structures it finds may overlap: its masks are bits (bit i is class i + 1), its networks have no channel for the
    background, and channel k > 0 of `predict` is the probability of class k by itself, channel 0 that of none."""

    def __init__(self) -> None:
        super().__init__()
        self.networks = nn.ModuleDict()
        self.frozen = nn.ModuleDict()
        self.live: dict[str, nn.Module] = {}

    @classmethod
    def measure(cls) -> str:
        """The name of the score on validation images by which it is judged."""
        if not cls.segments:
            return "AUC"
        return "AUPR" if cls.overlapping else "Dice"

    def prepare(self, ids: Mapping[str, Sequence[str]], read: Read) -> None:
        """Make room for state that belongs to single images, or count them: the ids of every stream, before training."""

    @classmethod
    def roles(cls, config: BaseModel) -> tuple[str, ...]:
        """What the finished models are to it that it starts from, under its configuration."""
        return ()

    def adopt(self, role: str, model: Finished) -> None:
        """Take over the weights of the finished model of a role, before training.

        Raises `RuntimeError` when they do not fit, `ConfigError` when they are of another kind of model.
        """

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

    def after_step(self, step: int, read: Read) -> None:
        """Work after the updates of a step, such as moving an average; called on all ranks."""

    def statistics(self) -> dict[str, Tensor]:
        """What is worth a look now and then: `[K]` vectors and scalars, global over ranks."""
        return {}

    def tables(self) -> dict[str, dict[str, list]]:
        """What is written beside the finished model, by name: columns of equal length, one of them `id`."""
        return {}

    def call(self, group: str, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Run a group's networks in training: wrapped by the strategy where there is one."""
        return self.live.get(group, self.networks[group])(*inputs)
