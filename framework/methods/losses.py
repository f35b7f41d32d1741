"""Losses that methods share. Sums run over the global batch, so that the number of workers changes nothing."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from framework.corpus.schema import IGNORE
from framework.training.collective import differentiable_total


def supervised_loss(logits: Tensor, mask: Tensor) -> Tensor:
    """Mean of cross-entropy and soft Dice (methods.md 6, as in SSL4MIS) of logits `[B, K, H, W]` against ids `[B, H, W]`,
    or of volumes `[B, K, D, H, W]` against `[B, D, H, W]`; so for all functions here.

    Soft Dice has squared probabilities below the line and takes each class over the whole batch; pixels of 255 do not count.
    """
    entropy, pixels, dice = _overlap(logits, mask)
    return 0.5 * (entropy / pixels.clamp_min(1) + 1 - dice.mean())


def _overlap(logits: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Over the global batch: summed cross-entropy, number of pixels, and soft Dice of each class `[K]`."""
    classes = logits.shape[1]
    valid = mask != IGNORE
    truth = mask.masked_fill(~valid, 0)
    log_probability = planar(logits).log_softmax(1) * valid[:, None]
    probability = log_probability.exp() * valid[:, None]
    hit = probability.gather(1, truth[:, None])
    entropy = -log_probability.gather(1, truth[:, None]).sum()
    flat = truth.flatten()
    overlap = probability.new_zeros(classes).index_add(0, flat, hit.flatten())
    pixels = probability.new_zeros(classes).index_add(0, flat, valid.flatten().to(probability.dtype))
    sizes = probability.square().sum((0, *range(2, logits.dim()))) + pixels
    sums = differentiable_total(torch.cat([entropy[None], pixels.sum()[None], overlap, sizes]))
    dice = (2 * sums[2 : 2 + classes] + 1e-5) / (sums[2 + classes :] + 1e-5)
    return sums[0], sums[1], dice


def planar(logits: Tensor) -> Tensor:
    """Logits as float32 (or double) with one plane per class, on which reductions over few classes are several times faster."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32), memory_format=torch.contiguous_format)


def hard_labels(logits: Tensor) -> Tensor:
    """The most probable class `[B, H, W]`; `max` because torch's `argmax` is eight times slower on processors."""
    return logits.detach().max(1).indices


def pixel_entropy(logits: Tensor, label: Tensor, keep: Tensor | None = None) -> Tensor:
    """Cross-entropy against hard labels `[B, H, W]`, summed over the pixels in `keep` and divided by all pixels."""
    entropy = F.cross_entropy(planar(logits), label, reduction="none")
    return (entropy if keep is None else entropy * keep).mean()


def gaussian_ramp(step: int, length: float) -> float:
    """From exp(-5) to 1 over `length` steps (methods.md 0.4)."""
    if length <= 0:
        return 1.0
    return math.exp(-5 * (1 - min(step, length) / length) ** 2)
