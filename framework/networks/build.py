"""From a typed description to a network that maps `[B, C, H, W]` to logits `[B, K, H, W]`; volumes have an axis D before H."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Tag
from torch import Tensor, nn

from framework.errors import ConfigError, nearest
from framework.networks.encoder import Encoder, EncoderConfig, build_encoder
from framework.networks.monai import MonaiConfig, build_monai, volume_stride
from framework.networks.norm import GlobalBatchNorm
from framework.networks.padding import enlarged
from framework.networks.seeded import seeded
from framework.networks.unet import Perturb, UNet, UNetConfig


class SmpConfig(BaseModel):
    """A decoder of segmentation-models-pytorch over one of its encoders (`tu-NAME` for any of timm)."""

    model_config = ConfigDict(extra="forbid")
    name: Literal["smp"]
    decoder: str = "unet"
    encoder: str = "resnet34"
    pretrained: bool = False
    """Start from ImageNet weights, downloaded when they are not in the cache."""


def name(value: Any) -> str:
    """Settings without a name are the small U-Net's."""
    return value.get("name", "unet") if isinstance(value, dict) else value.name


Network = UNetConfig | SmpConfig | MonaiConfig | EncoderConfig
NetworkConfig = Annotated[
    Annotated[UNetConfig, Tag("unet")]
    | Annotated[SmpConfig, Tag("smp")]
    | Annotated[MonaiConfig, Tag("monai")]
    | Annotated[EncoderConfig, Tag("encoder")],
    Discriminator(name),
]


def build_network(config: Network, channels: int, classes: int, seed: int, member: int) -> nn.Module:
    """Build member 0, 1, … of a run: the same on all ranks, each member with an initialisation of its own.

    An `Encoder` gives a pyramid of features instead of logits.

    Raises `ConfigError` for names that smp does not know and weights that cannot be had.
    """
    with seeded("network", seed, member):
        network = GlobalBatchNorm.replace_in(_build(config, channels, classes))
    return network if isinstance(network, Encoder) else Padded(network, _strides(config))


class Padded(nn.Module):
    """Lets a network whose levels halve the resolution take images or volumes of any size; `strides` are those of each axis."""

    def __init__(self, network: nn.Module, strides: tuple[int, ...]) -> None:
        super().__init__()
        self.network, self.strides = network, strides

    def forward(self, image: Tensor, perturb: Perturb | None = None) -> Tensor:
        """Logits of the image's size; `perturb` may change the encoder's features before they are decoded."""
        whole = enlarged(image, self.strides)
        logits = self.network(whole) if perturb is None else self.network(whole, perturb)
        return logits[(..., *(slice(size) for size in image.shape[2:]))]


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


def _build(config: Network, channels: int, classes: int) -> nn.Module:
    if isinstance(config, UNetConfig):
        return UNet(config, channels, classes)
    if isinstance(config, EncoderConfig):
        return build_encoder(config, channels)
    return build_monai(config, channels, classes) if isinstance(config, MonaiConfig) else _smp(config, channels, classes)


def _strides(config: Network) -> tuple[int, ...]:
    if isinstance(config, MonaiConfig):
        return volume_stride(config)
    stride = config.stride * 2 ** (len(config.widths) - 1) if isinstance(config, UNetConfig) else 32
    return stride, stride


def _smp(config: SmpConfig, channels: int, classes: int) -> nn.Module:
    import segmentation_models_pytorch as smp

    decoders = set(smp.MODEL_ARCHITECTURES_MAPPING)
    if config.decoder.lower() not in decoders:
        raise ConfigError(f"network.decoder: smp has no decoder '{config.decoder}'{nearest(config.decoder, decoders)}")
    try:
        weights = "imagenet" if config.pretrained else None
        return Smp(smp.create_model(config.decoder, config.encoder, weights, in_channels=channels, classes=classes))
    except (KeyError, ValueError, RuntimeError) as error:
        raise ConfigError(f"network.encoder: '{config.encoder}' cannot be built: {_line(error)}") from None
    except OSError as error:
        raise ConfigError(
            f"network.pretrained: the weights of '{config.encoder}' cannot be downloaded ({_line(error)}); "
            "put them in the cache of huggingface_hub, or set network.pretrained=false"
        ) from None


def _line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:160]
