"""Dropout that workers cannot change: what an image loses depends on the image alone."""

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn.modules.dropout import _DropoutNd


class ImageDropout(_DropoutNd):
    """Drops whole channels of features `[B, C, …]` in training, drawn from each image's pixels."""

    def forward(self, features: Tensor, image: Tensor) -> Tensor:
        """Features of images `[B, C, H, W]`, those that are kept scaled up."""
        if not self.training or self.p == 0:
            return features
        draws = (torch.Generator().manual_seed(seed) for seed in fingerprints(image))
        return drop_channels(features, self.p, draws)


def drop_channels(features: Tensor, share: float, draws: Iterable[torch.Generator]) -> Tensor:
    """Features `[B, C, …]` without a share of each image's channels, drawn by one generator an image."""
    kept = torch.stack([torch.rand(features.shape[1], generator=draw) >= share for draw in draws])
    return features * (kept / (1 - share)).to(features)[(...,) + (None,) * (features.ndim - 2)]


def fingerprints(image: Tensor) -> list[int]:
    """A number for each image `[B, …]`, float32 or float64: an exact sum of its pixels' bits and places."""
    flat = image.detach().flatten(1).contiguous()
    bits = flat.view(torch.int32 if flat.element_size() == 4 else torch.int64).long()
    places = torch.arange(1, 2 * bits.shape[1], 2, device=bits.device)
    return [number % 2**63 for number in (bits * places).sum(1).tolist()]
