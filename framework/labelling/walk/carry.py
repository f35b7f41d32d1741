"""The actor of the random walk: pictures and their maps to maps after it, on the grid of the boundaries."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from framework.core.storage import Store
from framework.corpus.map_layers import MapLayer
from framework.corpus.reader import Corpus
from framework.inference.predictor import Predictor, at_own_size, use_threads
from framework.methods.base import FindsBoundaries


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
