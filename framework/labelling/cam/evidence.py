"""Class activation maps: where a classifier sees the evidence for a class (methods/README 2.3).

Grad-CAM++ (Chattopadhyay et al., WACV 2018) explains exp(S), whose factor exp(S) cancels in its weights; the
code of Viniavskyi et al. leaves it in, so that there a map depends on the level of the score.
"""

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from framework.methods.base import Explainable

Kind = Literal["grad-cam++", "grad-cam", "cam"]


def evidence(method: Explainable, image: Tensor, target: int, number: int, kind: Kind) -> Tensor:
    """Maps `[B, h, w]`, not negative, of images `[B, C, H, W]` for a class of a target, not normalised.

    What is explained is the logarithm of the class's odds: of two classes, the difference of their logits.
    The plain map (Zhou et al., CVPR 2016) has the weights of the class's logit over the mean of the others',
    which is the same for two classes. The network is in evaluation mode, so that no image sees another. Where
    a classifier decides by all levels, the last one is shown.
    """
    with torch.no_grad():
        *finer, features = method.features(image)
    features = features.detach().float().requires_grad_()
    with torch.enable_grad():
        logits = method.decide([*finer, features])[target]
        lead = logits[:, number] - _others(logits, number).mean(1)
        score = lead if kind == "cam" else log_odds(logits, number)
        (slope,) = torch.autograd.grad(score.sum(), features)
    features = features.detach()
    return torch.relu((_weights(features, slope, kind)[:, :, None, None] * features).sum(1))


def log_odds(logits: Tensor, number: int) -> Tensor:
    """Log odds `[B]` of one class under logits `[B, C]`."""
    return logits[:, number] - _others(logits, number).logsumexp(1)


def _others(logits: Tensor, number: int) -> Tensor:
    return logits[:, [k for k in range(logits.shape[1]) if k != number]]


def _weights(features: Tensor, slope: Tensor, kind: Kind) -> Tensor:
    """The weight of each channel `[B, D]` from features and the score's gradient `[B, D, h, w]`."""
    if kind != "grad-cam++":  # a sum, not a mean, which would fall with the number of cells
        return slope.sum((2, 3))
    below = 2 * slope.square() + (features * slope**3).sum((2, 3), keepdim=True)
    alpha = torch.where(below != 0, slope.square() / below, 0)
    return (alpha * torch.relu(slope)).sum((2, 3))


def summed_evidence(
    method: Explainable,
    image: Tensor,
    target: int,
    number: int,
    kind: Kind,
    scales: Sequence[float],
    flip: bool,
    side: int,
) -> Tensor:
    """Maps `[B, side, side]` in 0..1, summed over sizes and mirror images; 0 where nothing speaks for it."""
    total = image.new_zeros(len(image), side, side, dtype=torch.float32)
    for scale in scales:
        # Height and width that fill the encoder's cells: others shift maps.
        size = [max(1, round(n * scale / method.stride)) * method.stride for n in image.shape[2:]]
        view = F.interpolate(image, size, mode="bilinear", align_corners=False)
        for mirrored in (False, True) if flip else (False,):
            part = evidence(method, view.flip(3) if mirrored else view, target, number, kind)
            whole = F.interpolate(part[:, None], (side, side), mode="bilinear", align_corners=False)[:, 0]
            total += whole.flip(2) if mirrored else whole
    return total / total.amax((1, 2), keepdim=True).clamp_min(1e-12)
