"""A classifier of whole images by image-level labels alone (Viniavskyi et al. 2020; methods/README 2.2)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from framework.core.distributed import all_reduce_sum
from framework.core.errors import ConfigError
from framework.core.settings import ORDERED, Settings
from framework.corpus.schema import MASK_KINDS, NO_MASK, LabelInfo
from framework.corpus.targets import UNKNOWN, Target, TargetConfig, resolve
from framework.loading.loader import Batch, Stream
from framework.methods.base import Example, Method, MethodContext, Needs, PretrainedModel, Update
from framework.methods.classifier.dropblock import DropBlock, DropBlockConfig
from framework.methods.common.noise import generators
from framework.networks.base import seeded
from framework.networks.encoder import Encoder, TopDownPathway

ANY = frozenset({*MASK_KINDS, NO_MASK})


class Classifier(Method):
    """One network with a softmax for each target; images come from the first target's classes in turn."""

    class Config(Settings):
        """What it classifies by, and how it is regularised."""

        name: Literal["classifier"]
        targets: Annotated[dict[str, TargetConfig], ORDERED] = {}
        """Targets by name; none: one for each image-level label of the corpus."""
        dropblock: DropBlockConfig | None = None
        fpn: bool = False
        """Classify by all levels of a top-down pathway, so that all of them learn the labels: for `sks`."""

    learns_from = "image-level labels"
    source = "first step of Viniavskyi et al. 2020"
    segments = False
    needs = Needs(encoder=True, volumes=False)
    examples = {"": Example({"dropblock": {"share": 0.2, "block": 3}})}

    def __init__(self, config: Classifier.Config, context: MethodContext) -> None:
        super().__init__()
        self.context = context
        self.targets = self.targets_of(config, context.labels)
        encoder, counts = context.network(0), [len(target.classes) for target in self.targets]
        assert isinstance(encoder, Encoder)
        with seeded("heads", context.seed):
            self.networks["network"] = Classified(encoder, counts, config.dropblock, config.fpn)
        label = context.labels[self.targets[0].column].name
        hint = f"every training image lacks label '{label}' in labels.csv"
        self.streams = (Stream("labelled", ANY, target=self.targets[0], hint=hint),)

    @classmethod
    def targets_of(cls, config: Classifier.Config, labels: Sequence[LabelInfo]) -> tuple[Target, ...]:
        """What its models classify by, for a corpus with such labels."""
        described = config.targets or {label.name: TargetConfig(label=label.name) for label in labels}
        if not described:
            fault = "method 'classifier' needs image-level labels and the corpus has none"
            raise ConfigError(f"{fault}; add a column to labels.csv")
        return tuple(resolve(name, t, labels, f"method.targets.{name}") for name, t in described.items())

    def train_step(self, batch: Batch, step: int) -> Iterator[Update]:
        images = batch["labelled"]
        self.network.draw(generators(images.ids, images.image.device, "dropblock", self.context.seed, step))
        pairs = zip(self.call("network", images.image), self.targets, strict=True)
        losses = [known_cross_entropy(logits, target.of(images.labels)) for logits, target in pairs]
        loss = torch.stack(losses).mean()
        yield Update("network", loss, {"loss_supervised": loss.detach()})

    @property
    def network(self) -> Classified:
        """The network as no strategy wrapped it."""
        network = self.networks["network"]
        assert isinstance(network, Classified)
        return network

    @property
    def stride(self) -> int:
        return self.network.stride

    def features(self, image: Tensor) -> list[Tensor]:
        return self.network.features(image)

    def decide(self, levels: list[Tensor]) -> tuple[Tensor, ...]:
        return self.network.decide(levels)

    def classify(self, image: Tensor) -> dict[str, Tensor]:
        logits = self.network(image)
        return {target.name: z.float().softmax(1) for target, z in zip(self.targets, logits, strict=True)}


class Classified(nn.Module):
    """An encoder, the mean of its last level (with `fpn` of all), and a linear layer for each target."""

    def __init__(
        self, encoder: Encoder, counts: list[int], dropblock: DropBlockConfig | None, fpn: bool = False
    ) -> None:
        super().__init__()
        self.encoder = TopDownPathway(encoder) if fpn else encoder
        widths = encoder.widths if fpn else encoder.widths[-1:]
        self.levels = len(widths)
        """How many levels the heads read."""
        self.stride = encoder.stride
        self.heads = nn.ModuleList(nn.Linear(sum(widths), count) for count in counts)
        self.dropblock = DropBlock(dropblock) if dropblock else None
        if self.dropblock is not None:
            encoder.after_levels([self.dropblock, self.dropblock])

    def draw(self, generators: list[torch.Generator]) -> None:
        """Set DropBlock's generators for the next batch, one an image."""
        if self.dropblock is not None:
            self.dropblock.generators = generators

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Logits `[B, C]` of each target."""
        return self.decide(self.features(image))

    def features(self, image: Tensor) -> list[Tensor]:
        """The levels that the heads read, the coarsest last."""
        return self.encoder(image)[-self.levels :]

    def decide(self, levels: list[Tensor]) -> tuple[Tensor, ...]:
        """Logits `[B, C]` of each target from levels `[B, D, h, w]`."""
        mean = torch.cat([level.mean((2, 3)) for level in levels], dim=1)
        return tuple(head(mean) for head in self.heads)


def known_cross_entropy(logits: Tensor, truth: Tensor) -> Tensor:
    """Mean cross-entropy over the images of the global batch whose class `[B]` is known."""
    precise = logits.to(torch.promote_types(logits.dtype, torch.float32))
    entropy = F.cross_entropy(precise, truth, ignore_index=UNKNOWN, reduction="sum")
    sums = all_reduce_sum(torch.stack([entropy, (truth != UNKNOWN).sum().to(entropy.dtype)]))
    return sums[0] / sums[1].clamp_min(1)


def encoder_of(model: PretrainedModel) -> dict[str, Tensor]:
    """The weights of a finished classifier's encoder; raises `ConfigError` for another method's model."""
    if not model.weights("networks.network.heads"):
        mend = "give the folder of a model of method 'classifier'"
        raise ConfigError(f"models.classifier: holds no classifier; {mend}")
    return model.weights("networks.network.encoder")
