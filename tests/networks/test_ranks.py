"""Normalisation over the global batch, on two ranks."""

from __future__ import annotations

import torch
from torch import Tensor

from framework.networks.norm import GlobalBatchNorm
from tests.ranks import on_ranks


def normalised(image: Tensor, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The output, the gradient of a weighted sum of it by the input, and the mean that is remembered."""
    norm = GlobalBatchNorm(image.shape[1]).double().train()
    given = image.clone().requires_grad_()
    output = norm(given)
    (gradient,) = torch.autograd.grad((output * weight).sum(), given)
    assert norm.running_mean is not None
    return output.detach(), gradient, norm.running_mean


def test_each_rank_normalises_by_the_images_of_all() -> None:
    image, weight = torch.randn(2, 6, 3, 5, 5).double()
    image[::2] += 3  # the images of one rank are brighter
    whole = normalised(image, weight)
    for rank, part in enumerate(on_ranks(2, lambda rank: normalised(image[rank::2], weight[rank::2]))):
        for mine, expected in zip(part, (whole[0][rank::2], whole[1][rank::2], whole[2]), strict=True):
            torch.testing.assert_close(mine, expected)
