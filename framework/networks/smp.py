"""Decoders of segmentation-models-pytorch over its encoders and timm's."""

from typing import Literal

from torch import Tensor, nn

from framework.core.errors import ConfigError, nearest
from framework.core.settings import Settings
from framework.networks.base import Architecture, first_line, no_weights
from framework.networks.unet import Perturb


class SmpConfig(Settings):
    """A decoder of segmentation-models-pytorch over one of its encoders (`tu-NAME` for any of timm)."""

    name: Literal["smp"]
    decoder: str = "unet"
    encoder: str = "resnet34"
    pretrained: bool = False
    """Start from ImageNet weights, downloaded when they are not in the cache."""


class Smp(nn.Module):
    """A network of smp whose encoder's features can be changed on their way to the decoder."""

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
            fault = f"smp has no decoder '{config.decoder}'{nearest(config.decoder, decoders)}"
            raise ConfigError(f"network.decoder: {fault}")
        weights = "imagenet" if config.pretrained else None
        try:
            return Smp(smp.create_model(config.decoder, config.encoder, weights, channels, classes))
        except (KeyError, ValueError, RuntimeError) as error:
            fault = f"'{config.encoder}' cannot be built: {first_line(error)}"
            raise ConfigError(f"network.encoder: {fault}") from None
        except OSError as error:
            raise no_weights(config.encoder, error) from None
