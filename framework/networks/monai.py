"""MONAI's networks for volumes `[B, C, D, H, W]`."""

import math
from typing import Any, Literal

from pydantic import Field
from torch import nn

from framework.core.errors import ConfigError
from framework.core.settings import Settings
from framework.networks.base import Architecture

VNET_STRIDE = 16


class MonaiConfig(Settings):
    """A residual 3D U-Net, 1.2 M parameters at its default widths, or the V-Net, 46 M with fixed widths."""

    name: Literal["monai"]
    architecture: Literal["unet", "vnet"] = "unet"
    widths: list[int] = Field(default=[16, 32, 64, 128], min_length=2)
    """U-Net: channels of each level; every level but the last halves the resolution, the first at once."""
    flat: int = Field(default=0, ge=0)
    """U-Net: how many levels from the first keep the number of slices, for slices thicker than pixels."""
    units: int = Field(default=2, ge=1)
    """U-Net: convolutions of each residual block."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of single values in the U-Net, of whole channels in the V-Net; drawn by each worker, so that
    unlike in the small U-Net their number matters."""


class MonaiArchitecture(Architecture):
    """Both networks, without padding."""

    Config = MonaiConfig
    takes_volumes = True

    @staticmethod
    def build(config: MonaiConfig, channels: int, classes: int) -> nn.Module:
        if config.architecture == "vnet":
            return _vnet(config, channels, classes)
        from monai.networks.nets.unet import UNet

        strides: Any = _steps(config)  # MONAI says `Sequence[int]`, its convolutions take one for each axis
        rest = {"num_res_units": config.units, "norm": "BATCH", "dropout": config.dropout}
        return UNet(3, channels, classes, config.widths, strides, **rest)

    @staticmethod
    def strides(config: MonaiConfig) -> tuple[int, ...]:
        if config.architecture == "vnet":
            return VNET_STRIDE, VNET_STRIDE, VNET_STRIDE
        return tuple(math.prod(axis) for axis in zip(*_steps(config), strict=True))


def _vnet(config: MonaiConfig, channels: int, classes: int) -> nn.Module:
    from monai.networks.nets.vnet import VNet

    if VNET_STRIDE % channels:
        fault = f"the V-Net takes 1, 2, 4, 8 or 16 channels, the corpus has {channels}; use unet"
        raise ConfigError(f"network.architecture: {fault}")
    up = config.dropout, config.dropout
    return VNet(3, channels, classes, dropout_prob_down=config.dropout, dropout_prob_up=up)


def _steps(config: MonaiConfig) -> list[tuple[int, int, int]]:
    """Strides of slices, rows and columns from each level to the next."""
    return [(1 if level < config.flat else 2, 2, 2) for level in range(len(config.widths) - 1)]
