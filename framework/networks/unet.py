"""A small residual U-Net for CPUs: its first level is at half resolution, where a step costs a quarter."""

from collections.abc import Callable
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from framework.core.settings import Settings
from framework.networks.base import Architecture
from framework.networks.dropout import ImageDropout

Perturb = Callable[[list[Tensor]], list[Tensor]]
"""Changes an encoder's features, from the image itself (level 0) to the lowest resolution."""


class UNetConfig(Settings):
    """At its default widths 1.4 M parameters."""

    name: Literal["unet"] = "unet"
    widths: list[int] = Field(default=[16, 32, 64, 128, 128], min_length=2)
    """Channels of each level; every level halves the resolution of the one before."""
    stride: Literal[1, 2] = 2
    """Stride of the first level; 1 keeps the image's own resolution, as the classic U-Net does."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of whole channels that are dropped at the lowest level."""


class UNet(nn.Module):
    """Maps `[B, C, H, W]` to logits `[B, K, H, W]`; sides are multiples of its stride (`registry.Padded`)."""

    def __init__(self, config: UNetConfig, channels: int, classes: int) -> None:
        super().__init__()
        widths = config.widths
        strides = [config.stride] + [2] * (len(widths) - 1)
        self.down = blocks(channels, widths, strides)
        self.dropout = ImageDropout(config.dropout)
        rising = list(zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.up = nn.ModuleList(nn.ConvTranspose2d(a, b, 2, stride=2) for a, b in rising)
        self.merge = nn.ModuleList(Block(2 * b, b) for _, b in rising)
        head: list[nn.Module] = []
        if config.stride == 2:  # back to the image's resolution
            enlarging = nn.ConvTranspose2d(widths[0], widths[0], 2, 2, bias=False)
            head = [enlarging, nn.BatchNorm2d(widths[0]), nn.ReLU(inplace=True)]
        self.head = nn.Sequential(*head, nn.Conv2d(widths[0], classes, 3, padding=1))

    def forward(self, image: Tensor, perturb: Perturb = list) -> Tensor:
        levels = [image]
        for block in self.down:
            levels.append(block(levels[-1]))
        levels = perturb(levels)
        low = self.dropout(levels.pop(), image)
        for up, merge in zip(self.up, self.merge, strict=True):
            low = merge(torch.cat([up(low), levels.pop()], dim=1))
        return self.head(low)


class Block(nn.Module):
    """Two convolutions with a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        same = stride == 1 and inputs == outputs
        self.shortcut = nn.Identity() if same else nn.Conv2d(inputs, outputs, stride, stride)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.body(x) + self.shortcut(x))


def blocks(channels: int, widths: list[int], strides: list[int]) -> nn.ModuleList:
    """A block for each level, from `channels` to the widths."""
    inputs = [channels, *widths[:-1]]
    return nn.ModuleList(Block(a, b, s) for a, b, s in zip(inputs, widths, strides, strict=True))


class UNetArchitecture(Architecture):
    """The small U-Net."""

    Config = UNetConfig

    @staticmethod
    def build(config: UNetConfig, channels: int, classes: int) -> nn.Module:
        return UNet(config, channels, classes)

    @staticmethod
    def strides(config: UNetConfig) -> tuple[int, ...]:
        stride = config.stride * 2 ** (len(config.widths) - 1)
        return stride, stride
