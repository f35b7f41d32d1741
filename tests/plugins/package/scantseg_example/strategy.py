"""Sign descent (Bernstein et al., ICML 2018): every weight moves by the learning rate, on one rank."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from framework.core.settings import Settings
from framework.training.strategies.ddp import TorchStrategy


class SignSGD(TorchStrategy):
    """DDP's, with the sign of the gradient in its place."""

    class Config(Settings):
        """No settings."""

        name: Literal["sign"]

    def step(self, group: str, lr: float) -> Tensor:
        for settings in self.optimisers[group].param_groups:
            for parameter in settings["params"]:
                parameter.grad.sign_()
        return super().step(group, lr)
