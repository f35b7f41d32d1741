"""What a kind of network is: its settings, what it gives, how it is built and seeded, and its errors."""

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from framework.core.errors import ConfigError
from framework.core.rng import stable_seed
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


@contextlib.contextmanager
def seeded(*parts: object) -> Iterator[None]:
    """Layers built in the block depend on the parts alone; the process's own random numbers stay."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stable_seed(*parts) % 2**63)
        yield


def enlarged(image: Tensor, strides: Sequence[int]) -> Tensor:
    """Images or volumes `[B, C, …]`, continued by the border's value to multiples of the strides."""
    short = [-size % stride for size, stride in zip(image.shape[2:], strides, strict=True)]
    pad = [n for missing in reversed(short) for n in (0, missing)]
    return F.pad(image, pad, mode="replicate") if any(pad) else image


def first_line(error: Exception) -> str:
    """What a library says, cut to one short line."""
    return (str(error).splitlines() or [type(error).__name__])[0][:160]


def no_weights(encoder: str, error: OSError) -> ConfigError:
    """The error for pretrained weights that are neither in the cache nor to be downloaded."""
    fault = f"the weights of '{encoder}' cannot be downloaded ({first_line(error)})"
    mend = "put them in the cache of huggingface_hub, or set network.pretrained=false"
    return ConfigError(f"network.pretrained: {fault}; {mend}")
