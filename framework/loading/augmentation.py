"""Weak and strong views, drawn for each image by (seed, epoch, id): workers and restarts change nothing."""

import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from framework.core.labels import IGNORE
from framework.core.rng import generator
from framework.core.settings import Settings
from framework.loading.sampler import SampleDraw


class AugmentConfig(Settings):
    """The weak view is geometric and moves the mask along; the strong view changes its intensities too."""

    flip: bool = True
    quarter_turns: bool = True
    rotate: float = Field(default=0.0, ge=0, le=180)
    """Largest further rotation, degrees."""
    scale: float = Field(default=0.0, ge=0, lt=1)
    """Largest relative change of size, each axis on its own."""
    gain: float = Field(default=0.0, ge=0, lt=1)
    """Weak view: largest relative change of contrast, and shift of brightness in standard deviations."""
    strong: float = Field(default=0.5, ge=0, lt=1)
    """Strong view: the same."""
    blur: float = Field(default=1.5, ge=0)
    """Strong view: largest standard deviation of the Gaussian blur, pixels."""


def geometry(draws: Sequence[SampleDraw], config: AugmentConfig, seed: int) -> Tensor:
    """One affine map per sample `[B, 2, 3]`, from output to input coordinates in -1..1."""
    return torch.from_numpy(np.stack([_affine(draw, config, seed) for draw in draws]))


def weak_view(images: Tensor, masks: Tensor, maps: Tensor) -> tuple[Tensor, Tensor]:
    """Warp images `[B, C, H, W]` bilinearly, masks `[B, H, W]` by the nearest pixel; borders are repeated."""
    grid = F.affine_grid(maps, list(images.shape), align_corners=False)
    warped = F.grid_sample(images, grid, "bilinear", "border", align_corners=False)
    moved = F.grid_sample(masks[:, None].float(), grid, "nearest", "border", align_corners=False)
    return warped, moved[:, 0].long()


def change_gain(images: Tensor, draws: Sequence[SampleDraw], strength: float, seed: int, view: str) -> Tensor:
    """Contrast times 1 ± strength and brightness ± strength, for images of zero mean and unit deviation."""
    drawn = np.stack([generator(view, seed, d.epoch, d.id).uniform(-strength, strength, 2) for d in draws])
    factors = torch.from_numpy(drawn.astype(np.float32)).view(len(draws), 2, *[1] * (images.dim() - 1))
    return images * (1 + factors[:, 0]) + factors[:, 1]


def strong_view(
    images: Tensor, draws: Sequence[SampleDraw], config: AugmentConfig, seed: int, number: int = 0
) -> Tensor:
    """Strong view number 0, 1, … of weak views `[B, C, …]`: contrast, brightness, in-plane blur of half."""
    views = list(change_gain(images, draws, config.strong, seed, f"strong {number}"))
    for place, draw in enumerate(draws):
        rng = generator(f"blur {number}", seed, draw.epoch, draw.id)
        if (sigma := rng.uniform(-config.blur, config.blur)) > 0.1:
            views[place] = _blur(views[place], sigma)
    return torch.stack(views)


def standardise(images: Tensor) -> Tensor:
    """Each image or volume and channel `[B, C, …]` to mean 0 and deviation 1; a constant becomes 0."""
    return relative_to(images, levels(images))


def levels(images: Tensor) -> Tensor:
    """Mean and deviation of each image and channel, `[B, 2, C, 1, 1]`; of volumes `[B, 2, C, 1, 1, 1]`."""
    pixels = tuple(range(2, images.dim()))
    mean, deviation = images.mean(pixels, keepdim=True), images.std(pixels, keepdim=True, correction=0)
    return torch.stack([mean, deviation], dim=1)


def relative_to(images: Tensor, level: Tensor) -> Tensor:
    """Images or volumes `[B, C, …]` in deviations from their mean, as `levels` gives both."""
    return (images - level[:, 0]) / level[:, 1].clamp_min(1e-6)


def pad_masks(masks: Sequence[np.ndarray | None], shape: Sequence[int]) -> Tensor:
    """Stack masks of one shape, `[B, H, W]` or `[B, D, H, W]` uint8; a missing one is 255 everywhere."""
    blank = np.full(shape, IGNORE, np.uint8)
    return torch.from_numpy(np.stack([blank if mask is None else mask for mask in masks]))


def _affine(draw: SampleDraw, config: AugmentConfig, seed: int) -> np.ndarray:
    rng = generator("weak", seed, draw.epoch, draw.id)
    turns, mirrored = int(rng.integers(4)), bool(rng.integers(2))
    angle = math.radians(rng.uniform(-config.rotate, config.rotate))
    if config.quarter_turns:
        angle += turns * math.pi / 2
    zoom = 1 + rng.uniform(-config.scale, config.scale, 2)
    mirror = np.array([-1.0 if config.flip and mirrored else 1.0, 1.0])
    cos, sin = math.cos(angle), math.sin(angle)
    linear = np.array([[cos, -sin], [sin, cos]]) * (zoom * mirror)
    return np.concatenate([linear, np.zeros((2, 1))], axis=1).astype(np.float32)


def _blur(image: Tensor, sigma: float) -> Tensor:
    radius = math.ceil(2 * sigma)
    taps = torch.exp(-0.5 * (torch.arange(-radius, radius + 1) / sigma) ** 2)
    taps = taps / taps.sum()
    planes = image.flatten(0, -3)  # channels, and slices of a volume
    padded = F.pad(planes[:, None], (radius,) * 4, mode="replicate")
    return F.conv2d(F.conv2d(padded, taps.view(1, 1, -1, 1)), taps.view(1, 1, 1, -1)).view_as(image)
