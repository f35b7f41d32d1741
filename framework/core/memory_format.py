"""The memory layout in which convolutions are fastest."""

import torch
from torch import nn


def layout(dimensions: int) -> torch.memory_format:
    """The layout for images `[B, C, H, W]` (4 dimensions) or volumes `[B, C, D, H, W]` (5).

    For volumes `channels_last_3d` is slower on processors: 0.63 against 0.34 s for a step of MONAI's U-Net.
    """
    return torch.channels_last if dimensions == 4 else torch.contiguous_format


def lay_out(module: nn.Module) -> None:
    """Bring the weights of a network, of images or of volumes, into that layout in place."""
    for parameter in module.parameters():
        if parameter.dim() > 3:
            parameter.data = parameter.data.contiguous(memory_format=layout(parameter.dim()))
