"""How networks are trained on one or many ranks: the interface of every strategy."""

import contextlib
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from framework.core.settings import Settings
from framework.methods.base import Method
from framework.training.optimise import OptimiserConfig
from framework.training.precision import Precision

OptimiserState = dict[str, Tensor]
"""Whole tensors by `group/parameter/key`, such as `pair/first.head.weight/exp_avg`, for any world size."""


class Strategy(Protocol):
    """`wrap` once, then `backward` and `step` for each update; state is whole, whatever is sharded.

    One file each, listed in `registry.py`, or another package's by the entry point `scantseg.strategies`.
    """

    Config: ClassVar[type[Settings]]
    """Its settings, with a `name` of its own."""

    def __init__(self, config: Any, device: torch.device, precision: Precision) -> None: ...

    def wrap(self, method: Method, config: OptimiserConfig) -> None:
        """Fill `method.live` and build one optimiser per group; networks are on their device already."""

    def autocast(self) -> contextlib.AbstractContextManager[object]:
        """The precision in which a training step runs."""
        ...

    def backward(self, group: str, loss: Tensor) -> None:
        """Gradients of a loss, averaged over ranks by the time `step` uses them."""

    def step(self, group: str, lr: float) -> Tensor:
        """Clip, step unless the norm is not finite, clear; gives the gradient's norm before clipping."""
        ...

    def model_state(self) -> dict[str, Tensor]:
        """The whole method's state, on every rank (a collective call)."""
        ...

    def load_model_state(self, state: dict[str, Tensor]) -> None:
        """Put back what `model_state` gave, under any world size; before `load_optimiser_state`."""

    def optimiser_state(self) -> OptimiserState:
        """The whole optimiser state, on every rank (a collective call)."""
        ...

    def load_optimiser_state(self, state: OptimiserState) -> None:
        """Put back what `optimiser_state` gave, under any world size."""
