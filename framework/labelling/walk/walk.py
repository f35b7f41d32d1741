"""The random walk that carries evidence until boundaries stop it (Ahn et al., CVPR 2019; methods/README 2.5).

The official code squares the dense transition matrix; here each of the same steps touches a pixel's
neighbours alone, so that images of any size go through together.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from framework.core.storage import Store
from framework.corpus.map_layers import MapLayer
from framework.corpus.reader import Corpus
from framework.inference.predictor import Predictor, at_own_size, use_threads
from framework.methods.base import FindsBoundaries
from framework.methods.irnet.affinity import affinities, offsets


class Carry:
    """Holds IRNet's model, the maps, and the walk with its settings."""

    def __init__(
        self, model: str, corpus: str, maps: str, class_ids: list[int], carry: Callable[..., Tensor]
    ) -> None:
        use_threads(1)
        self.predictor = Predictor(Store(model))
        self.maps = MapLayer(Store(maps), Corpus.open(corpus))
        self.class_ids, self.carry = class_ids, carry

    def __call__(self, batch: Any) -> Any:
        pixels, maps = batch.pop("pixels"), [self.maps.maps(name) for name in batch["id"]]
        there = np.array([[k in image for k in self.class_ids] for image in maps], bool)
        there = there.reshape(-1, len(self.class_ids))
        method = self.predictor.method
        assert isinstance(method, FindsBoundaries)
        with torch.no_grad():
            boundary = method.boundaries(self.predictor.standardised(pixels))
        before = boundary.new_zeros(len(maps), len(self.class_ids), *boundary.shape[1:])
        for row, column in zip(*np.nonzero(there), strict=True):
            given = torch.from_numpy(maps[row][self.class_ids[column]]).to(boundary.device)
            before[row, column] = at_own_size(given[None], boundary.shape[1:])[0]
        after = self.carry(before, boundary)
        # divided by the largest of all classes: which is stronger stays as it is
        after /= after.amax((1, 2, 3), keepdim=True).clamp_min(1e-12)
        return batch | {"there": there, "maps": after.cpu().numpy()}


@torch.no_grad()
def walk(maps: Tensor, boundary: Tensor, radius: int = 5, beta: float = 10.0, doublings: int = 8) -> Tensor:
    """Evidence `[B, K, h, w]` after the walk from maps of that shape, under boundaries `[B, h, w]` in 0..1.

    Neighbours nearer than `radius` exchange evidence in each of 2^t steps, t = `doublings`.
    M = vec(cam (1 - b)) T^(2^t) with T = A^β D^-1, D its column sums; no value exceeds the largest before.
    """
    reach, (height, width) = radius - 1, boundary.shape[1:]
    stay, neighbours = transitions(boundary, radius, beta)
    x = maps * (1 - boundary)[:, None]
    padded = F.pad(x, (reach,) * 4)
    inner = padded[..., reach : reach + height, reach : reach + width]
    parts = [
        (weight[:, None], padded[..., reach + y : reach + y + height, reach + x : reach + x + width])
        for (y, x), weight in neighbours.items()
    ]
    for _ in range(2**doublings):
        after = inner * stay[:, None]
        for weight, moved in parts:
            after.addcmul_(weight, moved)
        inner.copy_(after)
    return inner.clone()


def transitions(boundary: Tensor, radius: int, beta: float) -> tuple[Tensor, dict[tuple[int, int], Tensor]]:
    """What a pixel keeps in a step `[B, h, w]`, and what it takes from each neighbour, by its offset."""
    tied = affinities(boundary, radius) ** beta
    taken: dict[tuple[int, int], Tensor] = {}
    for place, (y, x) in enumerate(offsets(radius)):
        taken[y, x] = tied[:, place]
        taken[-y, -x] = _moved(tied[:, place], y, x)
    stay = 1 / (1 + torch.stack(list(taken.values())).sum(0))
    return stay, {offset: weight * stay for offset, weight in taken.items()}


def _moved(x: Tensor, down: int, right: int) -> Tensor:
    """A map `[B, h, w]` moved by whole pixels, 0 where nothing comes in; `down` is not negative."""
    height, width = x.shape[1:]
    padded = F.pad(x, (max(right, 0), max(-right, 0), down, 0))
    start = max(-right, 0)
    return padded[:, :height, start : start + width]
