"""What tests of methods without a run share."""

from __future__ import annotations

import torch
from torch import nn

from framework.methods.base import MethodContext


def convolutions(classes: int) -> MethodContext:
    """A run of 100 steps whose networks are one convolution of a grey image, seeded by their number."""

    def network(member: int) -> nn.Module:
        torch.manual_seed(member)
        return nn.Conv2d(1, classes, 3, padding=1)

    return MethodContext([str(k) for k in range(classes)], 100, 0, network, 1)
