"""Averaged weights, for predictions that do not wander from step to step."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn


class Ema:
    """A moving average of parameters and normalisation statistics; the first steps count fully, as in a plain mean."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.module, self.decay = module, decay
        self.shadow = {name: tensor.detach().clone() for name, tensor in _averaged(module).items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Move the average after the optimiser's step number `step`."""
        decay = min(self.decay, 1 - 1 / (step + 2))
        live = _averaged(self.module)
        torch._foreach_lerp_(list(self.shadow.values()), [live[name] for name in self.shadow], 1 - decay)

    @contextlib.contextmanager
    def swapped_in(self) -> Iterator[None]:
        """The module predicts with the averaged weights inside the block."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for name, tensor in _averaged(self.module).items():
            held = tensor.clone()
            tensor.copy_(self.shadow[name])
            self.shadow[name].copy_(held)


def _averaged(module: nn.Module) -> dict[str, Tensor]:
    state = dict(module.named_parameters()) | dict(module.named_buffers())
    return {name: tensor.data for name, tensor in state.items() if tensor.is_floating_point()}
