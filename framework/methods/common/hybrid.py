"""What methods that learn from few true masks and many weak ones share (methods/README 5.1)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from framework.core.distributed import all_reduce_sum
from framework.core.labels import IGNORE
from framework.corpus.schema import WEAK_COMMANDS, WEAK_KINDS
from framework.loading.loader import Stream
from framework.methods.common.losses import planar
from framework.methods.supervised import MASKED

WEAK = Stream(
    "weak",
    frozenset({*WEAK_KINDS, "pseudo"}),
    hint=f"name a layer of weak masks in corpus.layers (make one with {WEAK_COMMANDS}), "
    "and leave corpus.budget.share under 1",
)
STREAMS = (MASKED, WEAK)


def partial_cross_entropy(logits: Tensor, mask: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean cross-entropy over the labelled pixels of masks `[B, H, W]`: those that are not 255.

    Images may have a weight `[B]`, 0 or more; the denominator does not: a lower weight lowers the loss.
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
