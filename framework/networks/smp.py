"""Decoders of segmentation-models-pytorch over its encoders and timm's."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from framework.core.errors import ConfigError, nearest
from framework.core.settings import Settings
from framework.networks.base import Architecture
from framework.networks.unet import Perturb


class SmpConfig(Settings):
    """A decoder of segmentation-models-pytorch over one of its encoders (`tu-NAME` for any of timm)."""

    name: Literal["smp"]
    decoder: str = "unet"
    encoder: str = "resnet34"
    pretrained: bool = False
    """Start from ImageNet weights, downloaded when they are not in the cache."""


class Smp(nn.Module):
    """A network of smp, whose encoder's features can be changed on their way to the decoder."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: Tensor, perturb: Perturb = list) -> Tensor:
        encoder: nn.Module = self.model.encoder  # type: ignore[assignment]
        hook = encoder.register_forward_hook(lambda module, given, levels: perturb(levels))  # type: ignore[arg-type]
        try:
            return self.model(image)
        finally:
            hook.remove()


class SmpArchitecture(Architecture):
    """Names are checked against smp's own lists."""

    Config = SmpConfig

    @staticmethod
    def build(config: SmpConfig, channels: int, classes: int) -> nn.Module:
        import segmentation_models_pytorch as smp

        decoders = set(smp.MODEL_ARCHITECTURES_MAPPING)
        if config.decoder.lower() not in decoders:
            raise ConfigError(
                f"network.decoder: smp has no decoder '{config.decoder}'{nearest(config.decoder, decoders)}"
            )
        try:
            weights = "imagenet" if config.pretrained else None
            return Smp(
                smp.create_model(
                    config.decoder, config.encoder, weights, in_channels=channels, classes=classes
                )
            )
        except (KeyError, ValueError, RuntimeError) as error:
            raise ConfigError(
                f"network.encoder: '{config.encoder}' cannot be built: {_line(error)}"
            ) from None
        except OSError as error:
            raise ConfigError(
                f"network.pretrained: the weights of '{config.encoder}' cannot be downloaded ({_line(error)}); "
                "put them in the cache of huggingface_hub, or set network.pretrained=false"
            ) from None


def _line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:160]
