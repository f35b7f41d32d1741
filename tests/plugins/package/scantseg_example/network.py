"""A network that looks at each pixel alone."""

from __future__ import annotations

from typing import Literal

from torch import nn

from framework.core.settings import Settings
from framework.networks.base import Architecture


class PixelwiseConfig(Settings):
    """How many hidden channels."""

    name: Literal["pixelwise"]
    width: int = 8


class Pixelwise(Architecture):
    """Two 1x1 convolutions."""

    Config = PixelwiseConfig

    @staticmethod
    def build(config: PixelwiseConfig, channels: int, classes: int) -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(channels, config.width, 1), nn.ReLU(), nn.Conv2d(config.width, classes, 1)
        )

    @staticmethod
    def strides(config: PixelwiseConfig) -> tuple[int, ...]:
        return 1, 1
