"""Randomness of a training step, by (seed, step, id) of each image: the number of workers changes nothing."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from framework.core.rng import generator, stable_seed

Range = tuple[float, float]


def generators(ids: Sequence[str], device: torch.device, *parts: object) -> list[torch.Generator]:
    """One generator per image."""
    return [torch.Generator(device).manual_seed(stable_seed(*parts, name) % 2**63) for name in ids]


def noisy(image: Tensor, ids: Sequence[str], scale: float, *parts: object) -> Tensor:
    """Images `[B, C, H, W]` with Gaussian noise of deviation `scale`, cut at two (methods/README 6)."""
    draws, shape = generators(ids, image.device, *parts), image.shape[1:]
    noise = torch.stack([torch.randn(shape, generator=draw, device=image.device) for draw in draws])
    return image + (scale * noise).clamp(-2 * scale, 2 * scale).to(image.dtype)


def boxes(
    ids: Sequence[str], shape: Sequence[int], share: Range, count: int, probability: float, *parts: object
) -> Tensor:
    """CutMix boxes `[B, H, W]`, True inside, on the CPU; `[B, D, H, W]` for volumes.

    With a probability an image gets `count` boxes of random proportions, together a `share` of its area.
    """
    masks = torch.zeros(len(ids), *shape, dtype=torch.bool)
    for mask, name in zip(masks, ids, strict=True):
        rng = generator("box", *parts, name)
        if rng.uniform() < probability:
            for _ in range(count):
                mask[_box(shape, rng.uniform(*share) / count, rng)] = True
    return masks


def paste(below: Tensor, above: Tensor, box: Tensor) -> Tensor:
    """`above` inside boxes `[B, H, W]`, `below` outside; of images `[B, C, H, W]` or labels `[B, H, W]`."""
    return torch.where(box if below.ndim == box.ndim else box[:, None], above, below)


def _box(shape: Sequence[int], share: float, rng: np.random.Generator) -> tuple[slice, ...]:
    stretch = rng.uniform(-0.6, 0.6, len(shape))
    sides = share ** (1 / len(shape)) * np.exp(stretch - stretch.mean())
    box = []
    for length, side in zip(shape, sides, strict=True):
        extent = max(1, min(length, round(length * side)))
        start = int(rng.integers(length - extent + 1))
        box.append(slice(start, start + extent))
    return tuple(box)
