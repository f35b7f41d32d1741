"""IRNet (Ahn et al., CVPR 2019) as Viniavskyi et al. 2020 use it: boundaries between classes, from seeds.

The backbone is frozen and not the classifier's, which the seeds come from (methods/README 2.5). The authors'
has ImageNet's weights (`network.pretrained`); random filters already show edges.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from framework.core.distributed import all_reduce_sum
from framework.core.labels import IGNORE
from framework.core.settings import Settings
from framework.loading.loader import Batch, Stream
from framework.loading.training_set import CorpusConfig
from framework.methods.base import Example, Method, MethodContext, Needs, Update
from framework.methods.common.losses import planar
from framework.methods.irnet.affinity import affinities, offsets, partners
from framework.methods.irnet.heads import STRIDE, Heads, cells, grid_of
from framework.networks.base import enlarged, seeded
from framework.networks.encoder import Encoder

NO_SEEDS = "make a layer with `scantseg seeds` and name it in corpus.layers"
TINY = 1e-5
"""The authors' epsilon, in logarithms and counts."""


class IRNet(Method):
    """A frozen encoder and the heads on it."""

    class Config(Settings):
        """The authors' settings."""

        name: Literal["irnet"]
        radius: int = Field(default=10, ge=2)
        """Largest distance of a pair, exclusive, in cells of the grid of stride 4."""
        displacement: bool = False
        """Learn displacements to instance centres too; they share no weight with the walk's boundaries."""

    learns_from = "seeds from a classifier's maps"
    source = "Ahn et al., CVPR 2019, as Viniavskyi et al. 2020 use it"
    segments = False
    needs = Needs(encoder=True, volumes=False)
    revision = 1  # its backbone is no longer the classifier's; seeds are read from the middle of a cell
    streams = (Stream("seeds", frozenset({"seed"}), hint=NO_SEEDS),)
    examples = {
        "": Example({"radius": 4}, {"corpus": {"layers": ["seed"]}}),
        "displacement": Example({"radius": 3, "displacement": True}, {"corpus": {"layers": ["seed"]}}),
    }

    def __init__(self, config: IRNet.Config, context: MethodContext) -> None:
        super().__init__()
        self.config = config
        encoder = context.network(0)
        assert isinstance(encoder, Encoder)
        self.frozen["encoder"] = encoder.requires_grad_(False).eval()
        with seeded("heads", context.seed):
            self.networks["heads"] = Heads(encoder.widths, encoder.stride, config.displacement)

    @classmethod
    def check(cls, config: Any, network: Any, corpus: CorpusConfig) -> None:
        super().check(config, network, corpus)
        side = cells(corpus.size)
        if config.radius >= side:
            grid = f"the whole grid, {side} a side for corpus.size {corpus.size}"
            fault = f"{config.radius} reaches across {grid}; give a smaller radius or larger pictures"
            raise ValueError(f"method.radius: {fault}")

    def train_step(self, batch: Batch, step: int) -> Iterator[Update]:
        image, mask = batch["seeds"].image, batch["seeds"].mask
        logits, *displacement = self.call("heads", image, *self._levels(image))
        labels = F.interpolate(mask[:, None].double(), grid_of(image), mode="nearest-exact")[:, 0].long()
        loss, metrics = pair_loss(planar(logits).sigmoid(), labels, self.config.radius, *displacement)
        yield Update("heads", loss, {"loss_supervised": loss.detach(), **metrics})

    def explain(self, image: Tensor, labels: Tensor) -> dict[str, Tensor]:
        return {"boundary map": self.boundaries(image)}

    def boundaries(self, image: Tensor) -> Tensor:
        """Probability of a boundary `[B, h, w]`, float32: mean logits of an image and its mirror image."""
        rows, columns = grid_of(image)
        whole = enlarged(image, (STRIDE, STRIDE))  # else the mirror image's cells would lie elsewhere
        heads, views = self.networks["heads"], (whole, whole.flip(3))
        plain, mirrored = (heads(view, *self._levels(view))[0].float() for view in views)
        return ((plain + mirrored.flip(2)) / 2).sigmoid()[:, :rows, :columns]

    @torch.no_grad()
    def _levels(self, image: Tensor) -> list[Tensor]:
        return self.frozen["encoder"](image)


def pair_loss(
    boundary: Tensor, labels: Tensor, radius: int, displacement: Tensor | None = None
) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss over the global batch's pairs: boundaries `[B, h, w]` in 0..1, labels `[B, h, w]` or 255."""
    affinity = affinities(boundary, radius)
    same_background, same_object, different = pair_kinds(labels, radius)
    near, apart = -(affinity + TINY).log(), -(1 + TINY - affinity).log()
    kinds = ((near, same_background), (near, same_object), (apart, different))
    parts = [_sum_and_count(*kind) for kind in kinds]
    if displacement is not None:
        moved = planar(displacement)[:, :, None] - partners(planar(displacement), radius)
        to = torch.tensor(offsets(radius), dtype=moved.dtype, device=moved.device).T[:, :, None, None]
        parts.append(_sum_and_count((moved - to).abs().mean(1), same_object))
        parts.append(_sum_and_count(moved.abs().mean(1), same_background))
    sums = all_reduce_sum(torch.stack(parts))
    mean = sums[:, 0] / (sums[:, 1] + TINY)
    attraction = (mean[0] + mean[1]) / 2
    loss = (attraction + mean[2]) / 2 + mean[3:].sum() / 2
    return loss, {"loss_same": attraction.detach(), "loss_different": mean[2].detach()}


def pair_kinds(labels: Tensor, radius: int) -> tuple[Tensor, Tensor, Tensor]:
    """Which pairs `[B, P, h, w]` with two labels are background, of one object class, and of two classes."""
    own, other = labels[:, None], partners(labels, radius, fill=IGNORE)
    known = (own != IGNORE) & (other != IGNORE)
    same = known & (own == other)
    return same & (own == 0), same & (own > 0), known & (own != other)


def _sum_and_count(values: Tensor, chosen: Tensor) -> Tensor:
    return torch.stack([torch.where(chosen, values, 0).sum(), chosen.sum().to(values.dtype)])
