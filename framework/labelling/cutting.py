"""How maps of evidence become class ids: by thresholds, unless they are scattered (methods/README 2.5)."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from framework.core.labels import IGNORE
from framework.inference.predictor import at_own_size


def cut(
    maps: Mapping[int, np.ndarray],
    shape: Sequence[int],
    threshold: float,
    background: float | None = None,
    max_components: int | None = None,
) -> np.ndarray:
    """Class ids `[H, W]` uint8 of maps `[h, w]` in 0..1 by class id: all background without a map.

    Maps that nowhere exceed the threshold, or in more connected parts than are allowed, claim nothing (255):
    all background would teach that their class is not there. So do pixels between `background` and threshold.
    """
    if not maps:
        return np.zeros(tuple(shape), np.uint8)
    whole = at_own_size(torch.from_numpy(np.stack(list(maps.values()))), tuple(shape))
    sure = strongest(whole, threshold)
    if not sure.any() or (max_components is not None and most_components(sure) > max_components):
        return np.full(tuple(shape), IGNORE, np.uint8)
    possible = sure if background is None else strongest(whole, background)
    return as_ids(known_only(sure, possible), list(maps))


def most_components(labels: Tensor) -> int:
    """In how many connected parts (by edges) the most scattered class of labels `[h, w]` lies; 0 is none."""
    numbered: list[Any] = [ndimage.label(labels == k) for k in labels.unique() if k]
    return max(count for _, count in numbered)


def known_only(sure: Tensor, possible: Tensor) -> Tensor:
    """Labels `[h, w]` that say nothing (255) where a class is possible and none is sure."""
    return torch.where((sure == 0) & (possible != 0), IGNORE, sure)


def as_ids(labels: Tensor, class_ids: Sequence[int]) -> np.ndarray:
    """Class ids uint8 of labels that count in a list of classes from 1; 0 and 255 stay."""
    ids = torch.tensor([0, *class_ids, *[IGNORE] * (IGNORE - len(class_ids))])
    return ids[labels].numpy().astype(np.uint8)


def strongest(maps: Tensor, threshold: float) -> Tensor:
    """Labels `[h, w]` of maps `[K, h, w]`: k + 1 where class k is strongest and over a threshold, else 0."""
    return torch.cat([torch.full_like(maps[:1], threshold), maps]).argmax(0)
