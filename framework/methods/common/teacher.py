"""A teacher that averages its student's weights (Tarvainen & Valpola, NeurIPS 2017; methods/README 6)."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd

from framework.methods.common.losses import planar
from framework.networks.ema import averaged, follow


class Teacher(nn.Module):
    """A copy of a network that is only averaged, with its statistics; dropout stays (methods/README 7.3)."""

    def __init__(self, student: nn.Module, decay: float) -> None:
        super().__init__()
        self.network = copy.deepcopy(student).requires_grad_(False)
        self.decay = decay
        self.train()

    def train(self, mode: bool = True) -> Teacher:
        for module in self.modules():
            module.training = mode and isinstance(module, _DropoutNd)
        return self

    @torch.no_grad()
    def forward(self, image: Tensor) -> Tensor:
        """Probabilities `[B, K, H, W]`."""
        (logits,) = self.network(image)
        return planar(logits).softmax(1)

    def follow(self, student: nn.Module, step: int) -> None:
        """Move towards the student after optimiser step `step`: a = min(1 - 1 / (t + 1), decay)."""
        mine, theirs = averaged(self.network), averaged(student)
        follow(list(mine.values()), [theirs[name] for name in mine], min(1 - 1 / (step + 1), self.decay))
