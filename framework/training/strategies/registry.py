"""The strategies by name: the one place that a new one is added to."""

from typing import TYPE_CHECKING, Annotated, Any, Union

import torch
from pydantic import Discriminator, Tag

from framework.core.plugins import by_name, plugins
from framework.training.precision import Precision
from framework.training.strategies.base import Strategy
from framework.training.strategies.ddp import TorchStrategy
from framework.training.strategies.deepspeed import DeepSpeedStrategy

STRATEGIES: dict[str, type[Strategy]] = by_name(
    [TorchStrategy, DeepSpeedStrategy, *plugins("scantseg.strategies")]
)


def tag(value: Any) -> str:
    """Settings without a name are DDP's."""
    return value.get("name", "ddp") if isinstance(value, dict) else value.name


if TYPE_CHECKING:
    StrategyConfig = Any
else:
    StrategyConfig = Annotated[
        Union[tuple(Annotated[kind.Config, Tag(name)] for name, kind in STRATEGIES.items())],
        Discriminator(tag),
    ]


def build_strategy(config: Any, device: torch.device, precision: Precision) -> Strategy:
    """The strategy that settings describe."""
    return STRATEGIES[config.name](config, device, precision)
