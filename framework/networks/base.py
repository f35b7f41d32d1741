"""What a kind of network is: its settings, what it gives, how it is built, and the errors of building it."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from torch import nn

from framework.core.errors import ConfigError
from framework.core.settings import Settings


class Architecture(ABC):
    """One file each, listed in `registry.py`, or another package's by the entry point `scantseg.networks`."""

    Config: ClassVar[type[Settings]]
    """Its settings, with a `name` of its own."""
    gives_features: ClassVar[bool] = False
    """It is an `Encoder`, whose levels `[B, widths[i], h_i, w_i]` a method reads, and no segmenter."""
    takes_volumes: ClassVar[bool] = False
    """Volumes `[B, C, D, H, W]` instead of images."""

    @staticmethod
    @abstractmethod
    def build(config: Any, channels: int, classes: int) -> nn.Module:
        """From images `[B, C, H, W]` (or volumes) to logits `[B, K, H, W]`; may raise `ConfigError`."""

    @staticmethod
    def strides(config: Any) -> tuple[int, ...]:
        """What an image's sides must be multiples of; images of other sides are enlarged for it."""
        return (32, 32)


def first_line(error: Exception) -> str:
    """What a library says, cut to one short line."""
    return (str(error).splitlines() or [type(error).__name__])[0][:160]


def no_weights(encoder: str, error: OSError) -> ConfigError:
    """The error for pretrained weights that are neither in the cache nor to be downloaded."""
    return ConfigError(
        f"network.pretrained: the weights of '{encoder}' cannot be downloaded ({first_line(error)}); "
        "put them in the cache of huggingface_hub, or set network.pretrained=false"
    )
