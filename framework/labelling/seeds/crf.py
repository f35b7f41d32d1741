"""A dense conditional random field: labels that agree with their picture (Krähenbühl and Koltun, NIPS 2011).

Every pixel is tied to every other, so memory grows with the square of their number: for pictures of about a
hundred pixels a side, which suffices for seeds that are read on a coarser grid. The authors' code
approximates the same sums on a lattice.
"""

import torch
from torch import Tensor

from framework.labelling.seeds.config import SIDE, CrfConfig

FARTHEST = 80.0
"""The largest squared distance that counts: e^-40 adds nothing, subnormal numbers are sixty times slower."""


@torch.no_grad()
def refine(labels: Tensor, classes: int, picture: Tensor, config: CrfConfig) -> Tensor:
    """Labels `[L, h, w]` in `0..classes-1`, several labellings, that fit a picture `[C, h, w]` of 0..255.

    By mean field. Ties are normalised symmetrically, D^-1/2 K D^-1/2 with D the row sums, and include a
    pixel's own, as in the authors' code.
    """
    height, width = picture.shape[1:]
    pixel = SIDE / max(height, width)
    near_rows, near_columns = (_near(n, config.near_width / pixel, picture) for n in (height, width))
    alike = _alike(picture, config.alike_width / pixel, config.alike_levels)
    rest = (1 - config.certainty) / (classes - 1)
    unary = torch.full((len(labels), classes, height, width), rest, device=picture.device)
    unary = unary.scatter_(1, labels[:, None], config.certainty).log()
    belief = unary.softmax(1)
    for _ in range(config.steps):
        near = near_rows @ belief @ near_columns
        like = (belief.flatten(2).flatten(0, 1) @ alike).view_as(belief)
        belief = (unary + config.near_weight * near + config.alike_weight * like).softmax(1)
    return belief.argmax(1)


def _near(length: int, width: float, like: Tensor) -> Tensor:
    """Ties along one axis `[n, n]`, width in pixels: those of two axes multiply, and so do their row sums."""
    place = torch.arange(length, device=like.device, dtype=torch.float32) / width
    return _normalised(torch.exp(-0.5 * (place[:, None] - place).square()))


def _alike(picture: Tensor, width: float, levels: float) -> Tensor:
    """Ties of all pixels `[N, N]` by place (width: pixels) and look; grey counts as three equal channels."""
    channels, *shape = picture.shape
    rows, columns = torch.meshgrid(*map(torch.arange, shape), indexing="ij")
    place = torch.stack([rows, columns]).to(picture.device) / width
    look = picture.float().expand(max(channels, 3), -1, -1) / levels
    features = torch.cat([place, look]).flatten(1).T
    features = features - features.mean(0)
    squares = features.square().sum(1)
    distance = torch.addmm(squares[:, None] + squares, features, features.T, alpha=-2)
    return _normalised(distance.clamp_(0, FARTHEST).mul_(-0.5).exp_())


def _normalised(ties: Tensor) -> Tensor:
    scale = ties.sum(1).rsqrt()
    return ties.mul_(scale[:, None]).mul_(scale)
