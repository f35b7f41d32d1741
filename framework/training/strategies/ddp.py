"""Plain PyTorch on one rank, DistributedDataParallel on more."""

import contextlib
from typing import Literal

import torch
from torch import Tensor, nn

from framework.core.distributed import world_size
from framework.core.memory_format import lay_out
from framework.core.settings import Settings
from framework.methods.base import Method
from framework.training.optimise import OptimiserConfig, build_optimiser
from framework.training.precision import Precision, autocast
from framework.training.strategies.base import OptimiserState


class TorchStrategy:
    """Plain PyTorch on one rank, DistributedDataParallel on more."""

    class Config(Settings):
        """No settings."""

        name: Literal["ddp"] = "ddp"

    def __init__(self, config: Config, device: torch.device, precision: Precision) -> None:
        self.device = device
        self.precision: Precision = precision
        self.optimisers: dict[str, torch.optim.Optimizer] = {}

    def wrap(self, method: Method, config: OptimiserConfig) -> None:
        self._method, self._clip = method, config.clip
        lay_out(method)
        for group, module in method.networks.items():
            self.optimisers[group] = build_optimiser(module.parameters(), config)
            if world_size() > 1:
                # Buffers need no broadcast: normalisation statistics are global and so equal already.
                method.live[group] = nn.parallel.DistributedDataParallel(
                    module, broadcast_buffers=False, gradient_as_bucket_view=True
                )

    def autocast(self) -> contextlib.AbstractContextManager[object]:
        return autocast(self.device, self.precision)

    def backward(self, group: str, loss: Tensor) -> None:
        loss.backward()

    def step(self, group: str, lr: float) -> Tensor:
        optimiser = self.optimisers[group]
        for settings in optimiser.param_groups:
            settings["lr"] = lr
        trained = [parameter for settings in optimiser.param_groups for parameter in settings["params"]]
        norm = nn.utils.clip_grad_norm_(trained, self._clip, foreach=True)
        if torch.isfinite(norm):
            optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        return norm

    def model_state(self) -> dict[str, Tensor]:
        return self._method.state_dict()

    def load_model_state(self, state: dict[str, Tensor]) -> None:
        self._method.load_state_dict(state)

    def optimiser_state(self) -> OptimiserState:
        state = {}
        for group, module in self._method.networks.items():
            slots = self.optimisers[group].state
            for name, parameter in module.named_parameters():
                state |= {f"{group}/{name}/{key}": value for key, value in slots.get(parameter, {}).items()}
        return state

    def load_optimiser_state(self, state: OptimiserState) -> None:
        for group, module in self._method.networks.items():
            slots = self.optimisers[group].state
            for name, parameter in module.named_parameters():
                prefix = f"{group}/{name}/"
                keys = [key.removeprefix(prefix) for key in state if key.startswith(prefix)]
                slots[parameter] = {key: _laid_out_as(parameter, state[prefix + key]) for key in keys}


def _laid_out_as(parameter: Tensor, value: Tensor) -> Tensor:
    """A copy with the parameter's strides: fused optimisers walk both through memory in one pass."""
    return torch.empty_like(parameter).copy_(value) if value.shape == parameter.shape else value.clone()
