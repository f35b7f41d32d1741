"""What maps are sure of: a picture's seeds, the actor that finds them, and their row (methods/README 2.4)."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from framework.core.labels import IGNORE
from framework.core.storage import Store
from framework.corpus.map_layers import MapLayer
from framework.corpus.reader import Corpus
from framework.corpus.schema import NO_MASK
from framework.imaging.decode import encode_png
from framework.imaging.resize import resize_mask
from framework.inference.predictor import at_own_size, use_threads
from framework.labelling.cutting import as_ids, known_only, strongest
from framework.labelling.seeds.config import CrfConfig
from framework.labelling.seeds.crf import refine
from framework.training.memory import keep_freed_memory


def seeds(
    maps: Tensor, picture: Tensor, foreground: float, background: float, crf: CrfConfig | None
) -> Tensor:
    """Seeds `[h, w]` of maps `[K, h, w]` in 0..1: k + 1 where class k is sure, 0 where none can be, else 255.

    `picture` is `[C, h, w]` of levels 0..255. A `crf` makes the labels of either threshold fit it first.
    """
    labels = torch.stack([strongest(maps, threshold) for threshold in (foreground, background)])
    if crf is not None:
        labels = refine(labels, len(maps) + 1, picture, crf)
    sure, possible = labels
    return known_only(sure, possible)


class Seed:
    """The actor: pictures and their maps to seeds, which `find` finds."""

    def __init__(self, corpus_url: str, maps_url: str, find: Callable[..., Tensor], gpu: bool) -> None:
        use_threads(1)
        keep_freed_memory()
        self.maps, self.find = MapLayer(Store(maps_url), Corpus.open(corpus_url)), find
        self.device = torch.device("cuda" if gpu else "cpu")

    def __call__(self, batch: Any) -> Any:
        pictures = torch.from_numpy(batch.pop("pixels")).to(self.device)
        masks = [self._seeded(name, picture) for name, picture in zip(batch["id"], pictures, strict=True)]
        return batch | {"seeds": np.array(masks)}

    def _seeded(self, name: str, picture: Tensor) -> np.ndarray:
        """`[S, S]` uint8 class ids."""
        maps = self.maps.maps(name)
        evidence = torch.from_numpy(np.stack(list(maps.values()))).to(self.device)
        whole = at_own_size(evidence, picture.shape[1:])
        return as_ids(self.find(whole, eight_bit(picture)).cpu(), list(maps))


def eight_bit(picture: Tensor) -> Tensor:
    """Levels 0..255; a deeper picture is stretched over them, one without contrast is 0."""
    if picture.max() <= 255:
        return picture
    return (picture - picture.min()) * (255 / (picture.max() - picture.min()).clamp_min(1))


def seed_row(batch: Any, i: int) -> dict[str, Any]:
    """The layer's row at the picture's own size; an image that no class is sure in has no label."""
    mask, (height, width) = batch["seeds"][i], batch["shape"][i]
    claimed = mask[mask != IGNORE]
    return {
        "mask": encode_png(resize_mask(mask, int(height), int(width))),
        "kind": "seed" if claimed.any() else NO_MASK,
        "kept": claimed.size / mask.size,
        "kept_pixels": np.bincount(claimed).tolist(),
    }
