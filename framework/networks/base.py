"""What a kind of network is: its settings, what it gives, and how it is built."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from torch import nn

from framework.core.settings import Settings


class Architecture(ABC):
    """One file each, with a line in `registry.py`, or from another package by the entry point `scantseg.networks`."""

    Config: ClassVar[type[Settings]]
    """With a `name` of its own."""
    gives_features: ClassVar[bool] = False
    """It is an `Encoder`, whose levels `[B, widths[i], h_i, w_i]` a method reads, and no segmenter."""
    takes_volumes: ClassVar[bool] = False
    """Volumes `[B, C, D, H, W]` instead of images."""

    @staticmethod
    @abstractmethod
    def build(config: Any, channels: int, classes: int) -> nn.Module:
        """From images `[B, C, H, W]` (or volumes) to logits `[B, K, H, W]`; raises `ConfigError` when it cannot be had."""

    @staticmethod
    def strides(config: Any) -> tuple[int, ...]:
        """By what the sides of an image are to be divisible; images of other sides are enlarged for it."""
        return (32, 32)
