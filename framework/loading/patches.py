"""Weak views of volumes: a patch of each, warped in its plane, drawn by (seed, epoch, id) as for images."""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from framework.core.labels import IGNORE
from framework.core.rng import generator
from framework.loading import augmentation as augment
from framework.loading.sampler import SampleDraw
from framework.loading.training_set import TrainingSample

FOREGROUND = 0.5
"""Share of the patches of labelled volumes that are centred on a voxel of the foreground."""


def patch_views(
    samples: Sequence[TrainingSample], draws: Sequence[SampleDraw], maps: Tensor, patch: list[int], seed: int
) -> tuple[Tensor, Tensor]:
    """Patches `[B, C, D, H, W]` of standardised volumes, and masks `[B, D, H, W]`, int64.

    All slices of a patch are warped by the in-plane map of `augment.geometry` `[B, 2, 3]`, images bilinearly
    and masks by the nearest pixel. The border is repeated; at its ends a volume is mirrored.
    """
    places = [_place(sample, draw, patch, seed) for sample, draw in zip(samples, draws, strict=True)]
    slices = [_slices(sample, place[0], patch[0]) for sample, place in zip(samples, places, strict=True)]
    raw, masks = (torch.stack(parts) for parts in zip(*slices, strict=True))
    image = augment.relative_to(raw, torch.stack([sample.level for sample in samples]))
    affine = _at(maps, np.stack(places), patch, image.shape[-1])
    grid = F.affine_grid(affine, [len(slices), 1, *patch[1:]], align_corners=False)
    warped = F.grid_sample(image.flatten(1, 2), grid, "bilinear", "border", align_corners=False)
    moved = F.grid_sample(masks, grid, "nearest", "border", align_corners=False)
    return warped.unflatten(1, image.shape[1:3]), moved.long()


def _place(sample: TrainingSample, draw: SampleDraw, patch: Sequence[int], seed: int) -> np.ndarray:
    """First slice (negative: before the volume begins), row and column `[3]` of a patch.

    Uniform over the volume; for half of a labelled volume's draws, around a voxel of a class drawn evenly.
    The patch stays within the slices; in depth within the volume or, when it is the deeper one, around it.
    """
    rng = generator("patch", seed, draw.epoch, draw.id)
    low, high = np.sort([np.zeros(3, int), np.subtract(sample.image.shape[1:], patch)], axis=0)
    first = rng.integers(low, high + 1)
    around = rng.random() < FOREGROUND
    if around and sample.mask is not None and (classes := _foreground(sample.mask)):
        voxels = np.argwhere(sample.mask == classes[rng.integers(len(classes))])
        first = np.clip(voxels[rng.integers(len(voxels))] - np.array(patch) // 2, low, high)
    return first


def _foreground(mask: np.ndarray) -> list[int]:
    return [k for k in np.flatnonzero(np.bincount(mask.ravel())).tolist() if k not in (0, IGNORE)]


def _slices(sample: TrainingSample, first: int, depth: int) -> tuple[Tensor, Tensor]:
    """`depth` slices `[C, D, S, S]` and their masks `[D, S, S]`, float32."""
    places = mirrored(first, depth, sample.image.shape[1])
    mask = np.full((depth, *sample.image.shape[2:]), IGNORE) if sample.mask is None else sample.mask[places]
    return torch.from_numpy(sample.image[:, places]).float(), torch.from_numpy(mask.astype(np.float32))


def mirrored(first: int, depth: int, length: int) -> np.ndarray:
    """Slices `[depth]` of a volume that is mirrored at its ends, so that losses need not know of them."""
    turns = np.arange(first, first + depth) % (2 * length)
    return np.minimum(turns, 2 * length - 1 - turns)


def _at(maps: Tensor, places: np.ndarray, patch: Sequence[int], size: int) -> Tensor:
    """In-plane maps `[B, 2, 3]` from a patch's coordinates in -1..1 to those of whole slices."""
    shrunk = maps[:, :, :2] * torch.tensor([patch[2] / size, patch[1] / size])
    centres = torch.from_numpy((places + np.array(patch) / 2)[:, [2, 1]]).float()
    return torch.cat([shrunk, (centres * 2 / size - 1)[:, :, None]], dim=2)
