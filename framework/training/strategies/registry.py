"""The strategies by name: the one place that a new one is added to."""

from typing import TYPE_CHECKING, Any

import torch

from framework.core.plugins import by_name, plugins, settings_of_any
from framework.training.precision import Precision
from framework.training.strategies.base import Strategy
from framework.training.strategies.ddp import TorchStrategy
from framework.training.strategies.deepspeed import DeepSpeedStrategy

STRATEGIES: dict[str, type[Strategy]] = by_name(
    [TorchStrategy, DeepSpeedStrategy, *plugins("scantseg.strategies")]
)


if TYPE_CHECKING:
    StrategyConfig = Any
else:
    StrategyConfig = settings_of_any(STRATEGIES, default="ddp")


def build_strategy(config: Any, device: torch.device, precision: Precision) -> Strategy:
    """The strategy that settings describe."""
    return STRATEGIES[config.name](config, device, precision)
