"""Losses that methods share, over the global batch, so that the number of workers changes nothing."""

import math

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from framework.core.distributed import all_reduce_sum
from framework.core.labels import IGNORE
from framework.core.settings import Settings
from framework.methods.base import Update


def supervised_loss(logits: Tensor, mask: Tensor) -> Tensor:
    """Half cross-entropy, half soft Dice of logits `[B, K, H, W]` against ids `[B, H, W]` (methods/README 6).

    All functions here also take volumes, `[B, K, D, H, W]` and `[B, D, H, W]`. Pixels of 255 do not count.
    """
    return supervised_loss_of(all_reduce_sum(supervised_sums(logits, mask)))


def supervised_sums(logits: Tensor, mask: Tensor) -> Tensor:
    """The sums `[2 + 2 K]` over some images that the loss is a function of: cross-entropy, number of pixels,
    then overlap and denominator of each class's Dice."""
    classes = logits.shape[1]
    valid = mask != IGNORE
    truth = mask.masked_fill(~valid, 0)
    log_probability = planar(logits).log_softmax(1) * valid[:, None]
    probability = log_probability.exp() * valid[:, None]
    hit = probability.gather(1, truth[:, None])
    entropy = -log_probability.gather(1, truth[:, None]).sum()
    overlap, pixels = (class_sums(values, truth, classes).to(hit.dtype) for values in (hit, valid))
    sizes = probability.square().sum((0, *range(2, logits.dim()))) + pixels
    return torch.cat([entropy[None], pixels.sum()[None], overlap, sizes])


def class_sums(values: Tensor, label: Tensor, classes: int) -> Tensor:
    """Sum `[K]` of the values of each class's pixels, one value a pixel.

    In double, as pixels are added one by one: on a batch of large images float32 is off by a hundredth.
    """
    zeros = torch.zeros(classes, dtype=torch.float64, device=values.device)
    return zeros.index_add(0, label.flatten(), values.flatten().double())


def supervised_loss_of(sums: Tensor) -> Tensor:
    """The loss of all images that the sums `[2 + 2 K]` are over."""
    entropy, pixels = sums[0], sums[1]
    overlap, sizes = sums[2:].chunk(2)
    dice = (2 * overlap + 1e-5) / (sizes + 1e-5)
    return 0.5 * (entropy / pixels.clamp_min(1) + 1 - dice.mean())


def planar(logits: Tensor) -> Tensor:
    """Logits as float32 (or double), a plane a class: several times faster to reduce over few classes."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32), memory_format=torch.contiguous_format)


def hard_labels(logits: Tensor) -> Tensor:
    """The most probable class `[B, H, W]`; by `max`, as torch's `argmax` is eight times slower on CPUs."""
    return logits.detach().max(1).indices


def pixel_cross_entropy(logits: Tensor, label: Tensor, keep: Tensor | None = None) -> Tensor:
    """Cross-entropy against hard labels `[B, H, W]`, weighted by `keep`, over the number of all pixels."""
    entropy = F.cross_entropy(planar(logits), label, reduction="none")
    return (entropy if keep is None else entropy * keep).mean()


def partial_cross_entropy(logits: Tensor, mask: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean cross-entropy over the labelled pixels of masks `[B, H, W]`: those that are not 255.

    Images may have a `weight` `[B]`; the denominator does not, so that a lower weight lowers the loss.
    """
    entropy = F.cross_entropy(planar(logits), mask, ignore_index=IGNORE, reduction="none")
    weighted = entropy if weight is None else entropy * per_pixel(weight, entropy)
    sums = all_reduce_sum(torch.stack([weighted.sum(), (mask != IGNORE).sum().to(entropy.dtype)]))
    return sums[0] / sums[1].clamp_min(1)


def image_cross_entropy(logits: Tensor, mask: Tensor) -> Tensor:
    """Cross-entropy of each image over its labelled pixels, `[B]`; 0 where a mask has none."""
    entropy = F.cross_entropy(planar(logits), mask, ignore_index=IGNORE, reduction="none").flatten(1)
    return entropy.sum(1) / (mask != IGNORE).flatten(1).sum(1).clamp_min(1)


def per_pixel(weight: Tensor, pixels: Tensor) -> Tensor:
    """Weights of images `[B]` as those of their `pixels` `[B, H, W]`."""
    return weight.view(-1, *(1,) * (pixels.ndim - 1)).expand_as(pixels)


def weighted_update(
    group: str, supervised: Tensor, unsupervised: Tensor, weight: float, **metrics: Tensor
) -> Update:
    """One step on `supervised + weight * unsupervised`; logs the three beside `metrics`."""
    losses = {"loss_supervised": supervised.detach(), "loss_unsupervised": unsupervised.detach()}
    logged = {**losses, "weight": torch.tensor(weight), **metrics}
    return Update(group, supervised + weight * unsupervised, logged)


class WeightRamp(Settings):
    """The weight of an unsupervised loss over a run."""

    weight: float = Field(default=0.5, ge=0)
    """Weight of the unsupervised loss, after the ramp."""
    ramp: float = Field(default=0.3, ge=0, le=1)
    """Share of the run over which the weight rises (Gaussian)."""

    def weight_at(self, step: int, steps: int) -> float:
        """The weight in a step of a run."""
        return self.weight * gaussian_ramp(step, self.ramp * steps)


def gaussian_ramp(step: int, length: float) -> float:
    """From exp(-5) to 1 over `length` steps (methods/README 0.4)."""
    return math.exp(-5 * (1 - min(step, length) / length) ** 2) if length > 0 else 1.0
