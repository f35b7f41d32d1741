"""A classifier of whole images: what image-level labels teach by themselves, and the first stage of weak supervision.

Regularised by DropBlock after its last two levels, and drawn from classes in turn, as in Viniavskyi et al. 2020 (methods.md 2.2).
Every target is a softmax over its classes; for two classes that is the paper's sigmoid, of the difference of the logits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from framework.corpus.loader import Batch, Stream
from framework.corpus.schema import MASK_KINDS, NO_MASK
from framework.corpus.targets import UNKNOWN, TargetConfig, resolve
from framework.errors import ConfigError
from framework.methods.contract import Method, Setting, Update
from framework.methods.noise import generators
from framework.networks.dropblock import DropBlock, DropBlockConfig
from framework.networks.encoder import Encoder
from framework.networks.seeded import seeded
from framework.networks.top_down import TopDown
from framework.training.collective import differentiable_total

ANY = frozenset({*MASK_KINDS, NO_MASK})


class ClassifierConfig(BaseModel):
    """Which questions, and how it is regularised."""

    model_config = ConfigDict(extra="forbid")
    name: Literal["classifier"]
    targets: dict[str, TargetConfig] = {}
    """Questions by name; none: one for each image-level label of the corpus."""
    dropblock: DropBlockConfig | None = None
    top_down: bool = False
    """Decide by all levels, each with what the levels below it found, so that all of them know of the answer: for `sks`."""


class Classifier(Method):
    """One network with a softmax for each target; images are drawn from the classes of the first target in turn."""

    segments = False
    reads_features = True

    def __init__(self, config: ClassifierConfig, setting: Setting) -> None:
        super().__init__()
        self.setting = setting
        described = config.targets or {label.name: TargetConfig(label=label.name) for label in setting.labels}
        if not described:
            raise ConfigError("method 'classifier' needs image-level labels and the corpus has none; add a column to labels.csv")
        self.targets = tuple(resolve(name, target, setting.labels, f"method.targets.{name}") for name, target in described.items())
        encoder = setting.network(0)
        assert isinstance(encoder, Encoder)
        with seeded("heads", setting.seed):
            self.networks["network"] = Classified(
                encoder, [len(t.classes) for t in self.targets], config.dropblock, config.top_down
            )
        hint = f"every training image lacks label '{setting.labels[self.targets[0].column].name}' in labels.csv"
        self.streams = (Stream("labelled", ANY, target=self.targets[0], hint=hint),)

    def train_step(self, batch: Batch, step: int) -> Iterator[Update]:
        images = batch["labelled"]
        self.network.draw(generators(images.ids, images.image.device, "dropblock", self.setting.seed, step))
        logits = self.call("network", images.image)
        losses = [known_entropy(z, target.of(images.labels)) for z, target in zip(logits, self.targets, strict=True)]
        loss = torch.stack(losses).mean()
        yield Update("network", loss, {"loss_supervised": loss.detach()})

    @property
    def network(self) -> Classified:
        """The network itself, not as a strategy wrapped it."""
        network = self.networks["network"]
        assert isinstance(network, Classified)
        return network

    def classify(self, image: Tensor) -> dict[str, Tensor]:
        found = self.network(image)
        return {target.name: z.float().softmax(1) for target, z in zip(self.targets, found, strict=True)}


class Classified(nn.Module):
    """An encoder, the mean of its last level, or of all where a way leads down to them, and a linear layer for each target."""

    def __init__(self, encoder: Encoder, counts: list[int], dropblock: DropBlockConfig | None, top_down: bool = False) -> None:
        super().__init__()
        self.encoder = TopDown(encoder) if top_down else encoder
        read = encoder.widths if top_down else encoder.widths[-1:]
        self.levels = len(read)
        """How many levels the answers are read from."""
        self.heads = nn.ModuleList(nn.Linear(sum(read), count) for count in counts)
        self.dropblock = DropBlock(dropblock) if dropblock else None
        if self.dropblock is not None:
            encoder.after_levels([self.dropblock, self.dropblock])

    def draw(self, generators: list[torch.Generator]) -> None:
        """What the next batch is regularised by: a generator for each of its images."""
        if self.dropblock is not None:
            self.dropblock.generators = generators

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Logits `[B, C]` of each target."""
        return self.decide(self.features(image))

    def features(self, image: Tensor) -> list[Tensor]:
        """The levels that the answers are read from, the last one last."""
        return self.encoder(image)[-self.levels :]

    def decide(self, levels: list[Tensor]) -> tuple[Tensor, ...]:
        """The logits that levels `[B, D, h, w]` lead to."""
        mean = torch.cat([level.mean((2, 3)) for level in levels], dim=1)
        return tuple(head(mean) for head in self.heads)


def known_entropy(logits: Tensor, truth: Tensor) -> Tensor:
    """Mean cross-entropy over the images of the global batch whose class `[B]` is known."""
    precise = logits.to(torch.promote_types(logits.dtype, torch.float32))
    entropy = F.cross_entropy(precise, truth, ignore_index=UNKNOWN, reduction="sum")
    sums = differentiable_total(torch.stack([entropy, (truth != UNKNOWN).sum().to(entropy.dtype)]))
    return sums[0] / sums[1].clamp_min(1)


def encoder_of(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of a finished classifier's encoder; raises `ConfigError` for another method's model."""
    within = "networks.network.encoder."
    if "networks.network.heads.0.weight" not in state:
        raise ConfigError("models.classifier: holds no classifier; give the folder of a model of method 'classifier'")
    return {name.removeprefix(within): value for name, value in state.items() if name.startswith(within)}
