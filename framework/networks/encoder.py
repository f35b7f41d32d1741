"""Encoders: from an image to a pyramid of features, for classifiers and prompted segmenters."""

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from framework.core.errors import ConfigError, nearest
from framework.core.settings import Settings
from framework.networks.base import Architecture, enlarged, first_line, no_weights
from framework.networks.unet import blocks

LEVELS = 4
"""Number of levels of a pyramid; timm's finer ones are left out."""


class EncoderConfig(Settings):
    """`small` is that of the small U-Net, for CPUs; all others are timm's names, such as resnet50."""

    name: Literal["encoder"]
    encoder: str = "small"
    widths: list[int] = Field(default=[16, 32, 64, 128], min_length=LEVELS, max_length=LEVELS)
    """Channels of each level of `small`."""
    output_stride: Literal[8, 16, 32] | None = None
    """Largest stride; levels that would exceed it keep it. None: the encoder's own, 16 for `small`."""
    pretrained: bool = False
    """Start from ImageNet weights, downloaded when they are not in the cache."""


class Encoder(nn.Module):
    """Maps `[B, C, H, W]`, enlarged to multiples of the coarsest stride, to four levels
    `[B, widths[i], H / s_i, W / s_i]`, the finest first."""

    def __init__(
        self, stages: nn.Module, channels: int, widths: list[int], stride: int, names: list[str], dim: int = 1
    ) -> None:
        """`stages` gives the levels, made by its modules `names`, with channels as dimension `dim`."""
        super().__init__()
        self.stages, self.channels, self.widths, self._names = stages, channels, widths, names
        self.stride = stride
        """Stride of the coarsest level, in pixels."""
        self._dim = dim

    def forward(self, image: Tensor) -> list[Tensor]:
        levels = self.stages(enlarged(image, (self.stride, self.stride)))
        return [level.movedim(self._dim, 1) for level in levels[-LEVELS:]]

    def after_levels(self, changes: Sequence[Callable[[Tensor], Tensor]]) -> None:
        """Let functions change what the last levels give, one each, before the next level sees it."""
        for name, change in zip(self._names[-len(changes) :], changes, strict=True):
            self.stages.get_submodule(name).register_forward_hook(self._hook(change))

    def _hook(self, change: Callable[[Tensor], Tensor]) -> Callable[[nn.Module, Any, Tensor], Tensor]:
        return lambda module, given, level: change(level.movedim(self._dim, 1)).movedim(1, self._dim)


class TopDownPathway(nn.Module):
    """An encoder whose finer levels have the coarser ones added: same shapes (FPN; methods/README 3.3)."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder, self.stride, self.widths = encoder, encoder.stride, encoder.widths
        pairs = zip(self.widths, self.widths[1:], strict=False)
        self.down = nn.ModuleList(nn.Conv2d(coarser, own, 1) for own, coarser in pairs)

    def forward(self, image: Tensor) -> list[Tensor]:
        *finer, coarsest = self.encoder(image)
        levels = [coarsest]
        for level, down in zip(reversed(finer), reversed(self.down), strict=True):
            coarser = F.interpolate(down(levels[0]), level.shape[2:], mode="bilinear", align_corners=False)
            levels.insert(0, level + coarser)
        return levels


class Small(nn.Module):
    """Residual blocks, each at half the resolution of the one before until `output_stride` is reached."""

    def __init__(self, widths: list[int], channels: int, output_stride: int) -> None:
        super().__init__()
        strides = [2 if 2 ** (level + 1) <= output_stride else 1 for level in range(len(widths))]
        self.stride = math.prod(strides)
        self.blocks = blocks(channels, widths, strides)

    def forward(self, image: Tensor) -> list[Tensor]:
        levels = [image]
        for block in self.blocks:
            levels.append(block(levels[-1]))
        return levels[1:]


class EncoderArchitecture(Architecture):
    """An encoder alone; it enlarges images for itself."""

    Config = EncoderConfig
    gives_features = True

    @staticmethod
    def build(config: EncoderConfig, channels: int, classes: int) -> Encoder:
        if config.encoder == "small":
            stages = Small(config.widths, channels, config.output_stride or 16)
            names = [f"blocks.{level}" for level in range(LEVELS)]
            return Encoder(stages, channels, config.widths, stages.stride, names)
        stages = _timm(config, channels)
        info: Any = stages.feature_info
        known = dict(stages.named_modules())
        names = [name if name in known else name.replace(".", "_") for name in info.module_name()[-LEVELS:]]
        dim = -1 if getattr(stages, "output_fmt", "NCHW") == "NHWC" else 1
        return Encoder(stages, channels, info.channels()[-LEVELS:], info.reduction()[-1], names, dim)


def _timm(config: EncoderConfig, channels: int) -> nn.Module:
    import timm

    if not timm.is_model(config.encoder):
        close = nearest(config.encoder, timm.list_models())
        fault = f"timm has no model '{config.encoder}'{close}; 'small' needs no timm"
        raise ConfigError(f"network.encoder: {fault}")
    options = {"in_chans": channels, "features_only": True, "output_stride": config.output_stride}
    if "swin" in config.encoder:  # they else take images of one size alone, and CAMs are made at several
        options["strict_img_size"] = False
    try:
        return timm.create_model(config.encoder, config.pretrained, **options)
    except OSError as error:
        raise no_weights(config.encoder, error) from None
    except (RuntimeError, TypeError, NotImplementedError) as error:
        fault = f"'{config.encoder}' gives no pyramid: {first_line(error)}"
        raise ConfigError(f"network.encoder: {fault}") from None
