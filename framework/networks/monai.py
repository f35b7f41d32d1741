"""MONAI's networks for volumes `[B, C, D, H, W]`."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field
from torch import nn

from framework.core.errors import ConfigError
from framework.core.settings import Settings
from framework.networks.base import Architecture

VNET_STRIDE = 16


class MonaiConfig(Settings):
    """A residual 3D U-Net, 1.2 M parameters at its default widths, or the V-Net, which has 46 M and no choice of widths."""

    name: Literal["monai"]
    architecture: Literal["unet", "vnet"] = "unet"
    widths: list[int] = Field(default=[16, 32, 64, 128], min_length=2)
    """U-Net: channels of each level; every level but the last halves the resolution, the first at once."""
    flat: int = Field(default=0, ge=0)
    """U-Net: so many of the first levels keep the number of slices: for slices that are thicker than their pixels are wide."""
    units: int = Field(default=2, ge=1)
    """U-Net: convolutions of each residual block."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Of single values in the U-Net, of whole channels in the V-Net; drawn by each worker, so that their number matters, unlike in
    the small U-Net."""


class MonaiArchitecture(Architecture):
    """Either of them; without padding."""

    Config = MonaiConfig
    takes_volumes = True

    @staticmethod
    def build(config: MonaiConfig, channels: int, classes: int) -> nn.Module:
        return build_monai(config, channels, classes)

    @staticmethod
    def strides(config: MonaiConfig) -> tuple[int, ...]:
        return volume_stride(config)


def build_monai(config: MonaiConfig, channels: int, classes: int) -> nn.Module:
    """The network, without padding; raises `ConfigError` when it cannot be built for these channels."""
    from monai.networks.nets.unet import UNet
    from monai.networks.nets.vnet import VNet

    if config.architecture == "unet":
        strides: Any = _strides(
            config
        )  # MONAI says `Sequence[int]`, its convolutions take a number for each axis
        return UNet(
            3,
            channels,
            classes,
            config.widths,
            strides,
            num_res_units=config.units,
            norm="BATCH",
            dropout=config.dropout,
        )
    if VNET_STRIDE % channels:
        raise ConfigError(
            f"network.architecture: the V-Net takes 1, 2, 4, 8 or 16 channels, the corpus has {channels}; use unet"
        )
    return VNet(
        3,
        channels,
        classes,
        dropout_prob_down=config.dropout,
        dropout_prob_up=(config.dropout, config.dropout),
    )


def volume_stride(config: MonaiConfig) -> tuple[int, int, int]:
    """By what slices, rows and columns have to be divisible."""
    if config.architecture == "vnet":
        return VNET_STRIDE, VNET_STRIDE, VNET_STRIDE
    levels = len(config.widths) - 1
    return 2 ** max(0, levels - config.flat), 2**levels, 2**levels


def _strides(config: MonaiConfig) -> list[tuple[int, int, int]]:
    """From level to level, of slices, rows and columns."""
    return [(1 if level < config.flat else 2, 2, 2) for level in range(len(config.widths) - 1)]
