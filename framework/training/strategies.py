"""How networks are trained on one or many ranks, behind one small interface: single, DDP, DeepSpeed."""

from __future__ import annotations

import contextlib
from typing import Literal, Protocol

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from framework.methods.contract import Method
from framework.networks.layout import lay_out
from framework.training.collective import world_size
from framework.training.optimise import OptimiserConfig, build_optimiser
from framework.training.precision import Precision, autocast

OptimiserState = dict[str, Tensor]
"""Whole tensors by `group/parameter/key`, such as `pair/first.network.model.0.weight/exp_avg`: free of the world size."""


class StrategyConfig(BaseModel):
    """How the work is spread over ranks."""

    model_config = ConfigDict(extra="forbid")
    name: Literal["ddp", "deepspeed"] = "ddp"
    zero: Literal[1, 2] = 1
    """DeepSpeed: 1 shards the optimiser's state, 2 its gradients too."""


class Strategy(Protocol):
    """`wrap` once, then `backward` and `step` for each update; `gather` and `load` for checkpoints."""

    def wrap(self, method: Method, config: OptimiserConfig) -> None:
        """Fill `method.live` and build one optimiser per group; networks are on their device already."""
        ...

    def autocast(self) -> contextlib.AbstractContextManager[object]:
        """The precision in which a training step runs."""
        ...

    def backward(self, group: str, loss: Tensor) -> None:
        """Gradients of a loss, averaged over ranks by the time `step` uses them."""
        ...

    def step(self, group: str, lr: float) -> Tensor:
        """Clip, step, clear; gives the norm of the gradient before it was clipped. A norm that is not finite steps nothing."""
        ...

    def gather(self) -> OptimiserState:
        """The whole optimiser state, on every rank (a collective call)."""
        ...

    def load(self, state: OptimiserState) -> None:
        """Put back what `gather` gave, under any world size."""
        ...


class TorchStrategy:
    """Plain PyTorch on one rank, DistributedDataParallel on more."""

    def __init__(self, device: torch.device, precision: Precision) -> None:
        self.device = device
        self.precision: Precision = precision
        self.optimisers: dict[str, torch.optim.Optimizer] = {}
        self._modules: dict[str, nn.Module] = {}
        self._clip = 0.0

    def wrap(self, method: Method, config: OptimiserConfig) -> None:
        self._clip = config.clip
        lay_out(method)
        for group, module in method.networks.items():
            self._modules[group] = module
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

    def gather(self) -> OptimiserState:
        state = {}
        for group, module in self._modules.items():
            slots = self.optimisers[group].state
            for name, parameter in module.named_parameters():
                state |= {f"{group}/{name}/{key}": value for key, value in slots.get(parameter, {}).items()}
        return state

    def load(self, state: OptimiserState) -> None:
        for group, module in self._modules.items():
            slots = self.optimisers[group].state
            for name, parameter in module.named_parameters():
                prefix = f"{group}/{name}/"
                held = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
                slots[parameter] = {key: _laid_out_as(parameter, value) for key, value in held.items()}


def _laid_out_as(parameter: Tensor, value: Tensor) -> Tensor:
    """A copy with the parameter's strides: fused optimisers walk both through memory in one pass."""
    return torch.empty_like(parameter).copy_(value) if value.shape == parameter.shape else value.clone()


def build_strategy(config: StrategyConfig, device: torch.device, precision: Precision) -> Strategy:
    """The strategy that a configuration names."""
    if config.name == "ddp":
        return TorchStrategy(device, precision)
    from framework.training.deepspeed_strategy import DeepSpeedStrategy

    return DeepSpeedStrategy(config.zero, device, precision)
