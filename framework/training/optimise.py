"""Optimisers and learning rates as functions of the step."""

import math
from collections.abc import Iterable
from typing import Any, Literal

import torch
from pydantic import Field
from torch import nn

from framework.core.settings import Settings


class OptimiserConfig(Settings):
    """The papers' SGD 0.01 is for 30,000 steps; short runs with batch normalisation want AdamW 3e-3."""

    name: Literal["adamw", "sgd"] = "adamw"
    lr: float = Field(default=3e-3, gt=0)
    weight_decay: float = Field(default=1e-4, ge=0)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    """For SGD alone."""
    schedule: Literal["poly", "cosine", "constant"] = "poly"
    warmup: int = Field(default=0, ge=0)
    """Steps over which the learning rate rises linearly."""
    clip: float = Field(default=10.0, gt=0)
    """Largest norm of the gradient."""


def build_optimiser(parameters: Iterable[nn.Parameter], config: OptimiserConfig) -> torch.optim.Optimizer:
    """A torch optimiser over the parameters that train."""
    trained = [p for p in parameters if p.requires_grad]
    common: dict[str, Any] = {"lr": config.lr, "weight_decay": config.weight_decay, "fused": True}
    if config.name == "adamw":
        return torch.optim.AdamW(trained, **common)
    return torch.optim.SGD(trained, momentum=config.momentum, **common)


def lr_at(step: int, steps: int, config: OptimiserConfig) -> float:
    """The learning rate of a step: poly is (1 - t / T) ^ 0.9."""
    left = 1 - step / steps
    shapes = {"poly": left**0.9, "cosine": 0.5 + 0.5 * math.cos(math.pi * (1 - left)), "constant": 1.0}
    warmup = min(1.0, (step + 1) / config.warmup) if config.warmup else 1.0
    return config.lr * shapes[config.schedule] * warmup
