"""The networks by name: the one place that a new one's name is added to."""

from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from framework.core.plugins import by_name, plugins, settings_of_any
from framework.core.settings import Settings
from framework.networks.base import Architecture, enlarged, seeded
from framework.networks.encoder import EncoderArchitecture
from framework.networks.monai import MonaiArchitecture
from framework.networks.norm import GlobalBatchNorm
from framework.networks.smp import SmpArchitecture
from framework.networks.unet import Perturb, UNetArchitecture

ARCHITECTURES: dict[str, type[Architecture]] = by_name(
    [UNetArchitecture, SmpArchitecture, MonaiArchitecture, EncoderArchitecture, *plugins("scantseg.networks")]
)


if TYPE_CHECKING:
    NetworkConfig = Any
else:
    NetworkConfig = settings_of_any(ARCHITECTURES, default="unet")


def architecture_of(config: Any) -> type[Architecture]:
    """The kind of network that settings describe."""
    return ARCHITECTURES[config.name]


def build_network(config: Settings, channels: int, classes: int, seed: int, member: int) -> nn.Module:
    """Build member 0, 1, … of a run: the same on all ranks, each member with an initialisation of its own.

    Maps `[B, C, H, W]` to logits `[B, K, H, W]`, volumes with an axis D before H; an `Encoder` gives features
    instead. Raises `ConfigError` for names that a library does not know and weights that cannot be had.
    """
    kind = architecture_of(config)
    with seeded("network", seed, member):
        network = GlobalBatchNorm.replace_in(kind.build(config, channels, classes))
    return network if kind.gives_features else Padded(network, kind.strides(config))


class Padded(nn.Module):
    """Lets a network whose levels halve the resolution take any size; `strides` are those of the axes."""

    def __init__(self, network: nn.Module, strides: tuple[int, ...]) -> None:
        super().__init__()
        self.network, self.strides = network, strides

    def forward(self, image: Tensor, perturb: Perturb | None = None) -> Tensor:
        """Logits of the image's size; `perturb` may change the encoder's features before they are decoded."""
        whole = enlarged(image, self.strides)
        logits = self.network(whole) if perturb is None else self.network(whole, perturb)
        return logits[(..., *(slice(size) for size in image.shape[2:]))]
