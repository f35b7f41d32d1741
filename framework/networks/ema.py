"""Averaged weights, for predictions that do not wander from step to step."""

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn


class Ema:
    """A moving average of parameters and normalisation statistics; a plain mean over the first steps."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.module, self.decay = module, decay
        self.shadow = {name: tensor.detach().clone() for name, tensor in averaged(module).items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Move the average after the optimiser's step number `step`."""
        live, decay = averaged(self.module), min(self.decay, 1 - 1 / (step + 2))
        follow(list(self.shadow.values()), [live[name] for name in self.shadow], decay)

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
        for name, tensor in averaged(self.module).items():
            live = tensor.clone()
            tensor.copy_(self.shadow[name])
            self.shadow[name].copy_(live)


def averaged(module: nn.Module) -> dict[str, Tensor]:
    """What is averaged of a module: its parameters and its normalisation's statistics, by name."""
    state = dict(module.named_parameters()) | dict(module.named_buffers())
    return {name: tensor.data for name, tensor in state.items() if tensor.is_floating_point()}


@torch.no_grad()
def follow(average: list[Tensor], live: list[Tensor], decay: float) -> None:
    """Move averages in place: decay times themselves, the rest the live values."""
    torch._foreach_lerp_(average, live, 1 - decay)
