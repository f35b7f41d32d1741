"""The segmenter of SKS, "Skip and Skip" (Chen et al. 2024; methods/README 3.3): a U-Net with a prompt.

The prompt is a classifier's features. At first it changes nothing: the logits of step 0 are those of the
network of the same seed and `rcs` that has neither `fss` nor `cross`.
"""

from collections.abc import Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from framework.networks.base import enlarged
from framework.networks.encoder import Encoder

STEM = (32, 48)
"""Channels of the image's stem, at strides 1 and 2."""


class Prompted(nn.Module):
    """Maps images `[B, C, H, W]` and the levels `[B, widths[i], h_i, w_i]` of a classifier with an encoder of
    the same kind to logits `[B, K, H, W]`."""

    def __init__(self, encoder: Encoder, classes: int, fss: bool, rcs: bool, cross: bool) -> None:
        super().__init__()
        self.encoder, widths = encoder, encoder.widths
        self.stem: Stem | None = Stem(encoder.channels) if rcs else None
        self.decoder = Decoder(widths, classes, rcs, cross)
        self.share: nn.ModuleList | None = nn.ModuleList(Share(width) for width in widths) if fss else None
        self.prompt: tuple[Tensor, ...] = ()
        if self.share is not None:
            encoder.after_levels([partial(self._share, level) for level in range(len(widths))])

    def forward(self, image: Tensor, *prompt: Tensor) -> tuple[Tensor, ...]:
        self.prompt = prompt
        whole = enlarged(image, (self.encoder.stride, self.encoder.stride))
        own = self.stem(whole) if self.stem is not None else None
        logits = self.decoder(self.encoder(whole), own, prompt, whole.shape[2:])
        self.prompt = ()
        return (logits[:, :, : image.shape[2], : image.shape[3]],)

    def _share(self, level: int, features: Tensor) -> Tensor:
        assert self.share is not None
        return self.share[level](self.prompt[level], features)


class Share(nn.Module):
    """The feature-share skip f = W [u; g] + b at every place, where f = g at first."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mix = _zero_convolution(2 * width, width)
        with torch.no_grad():
            self.mix.weight[:, width:, 0, 0] = torch.eye(width)

    def forward(self, prompt: Tensor, features: Tensor) -> Tensor:
        return self.mix(torch.cat([prompt, features], dim=1))


class Stem(nn.Module):
    """Features of the image at strides 1 and 2, which the encoder loses; part of `rcs`."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fine, self.coarse = _convolution(channels, STEM[0]), _convolution(STEM[0], STEM[1], stride=2)

    def forward(self, image: Tensor) -> list[Tensor]:
        fine = self.fine(image)
        return [fine, self.coarse(fine)]


class Decoder(nn.Module):
    """From the coarsest level up to the image. With `rcs` levels and the image's stem join at their size;
    with `cross` the prompt's levels but the coarsest too, each in a quarter of its channels, zeros at first.

    What `cross` adds is drawn last, so that all else starts as it does without.
    """

    def __init__(self, widths: Sequence[int], classes: int, rcs: bool, cross: bool) -> None:
        super().__init__()
        self.rcs = rcs
        self.up = nn.ModuleList()
        for level in reversed(range(len(widths) - 1)):
            first = _convolution(widths[level + 1] + rcs * widths[level], widths[level])
            self.up.append(nn.Sequential(first, _convolution(widths[level], widths[level])))
        self.to_half = _convolution(widths[0] + rcs * STEM[1], STEM[1])
        self.to_whole = _convolution(STEM[1] + rcs * STEM[0], STEM[0])
        self.head = nn.Conv2d(STEM[0], classes, 1)
        self.prompts: nn.ModuleList | None = self._prompt_skips(widths[:-1]) if cross else None

    def _prompt_skips(self, widths: Sequence[int]) -> nn.ModuleList:
        """Let each block's first convolution read the prompt too; gives the reductions to a quarter."""
        for width, block in zip(reversed(widths), self.up, strict=True):
            block[0][0] = _widened(block[0][0], width // 4)  # type: ignore[index,operator]
        return nn.ModuleList(_zero_convolution(width, width // 4) for width in widths)

    def forward(
        self, levels: list[Tensor], own: list[Tensor] | None, prompt: tuple[Tensor, ...], size: Sequence[int]
    ) -> Tensor:
        low = levels[-1]
        for level, block in zip(reversed(range(len(levels) - 1)), self.up, strict=True):
            skips = [levels[level]] if self.rcs else []
            if self.prompts is not None:
                skips.append(self.prompts[level](prompt[level]))
            low = block(_joined(low, levels[level].shape[2:], skips))
        low = self.to_half(_joined(low, [side // 2 for side in size], own[1:] if own else []))
        return self.head(self.to_whole(_joined(low, size, own[:1] if own else [])))


def _joined(low: Tensor, size: Sequence[int], skips: list[Tensor]) -> Tensor:
    return torch.cat([F.interpolate(low, tuple(size), mode="bilinear", align_corners=False), *skips], dim=1)


def _convolution(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """With group normalisation, which is the same for any number of ranks, and for an image alone."""
    groups = max(n for n in (1, 2, 4, 8) if outputs % n == 0)
    convolution = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
    return nn.Sequential(convolution, nn.GroupNorm(groups, outputs), nn.ReLU(inplace=True))


def _widened(convolution: nn.Conv2d, more: int) -> nn.Conv2d:
    """The same with `more` input channels, of random weights: on zeros from the prompt, zeros never learn."""
    own = convolution.in_channels
    made = nn.Conv2d(own + more, convolution.out_channels, 3, padding=1, bias=False)
    with torch.no_grad():
        made.weight[:, :own] = convolution.weight
    return made


def _zero_convolution(inputs: int, outputs: int) -> nn.Conv2d:
    """A 1 x 1 convolution that gives zeros at first."""
    made = nn.Conv2d(inputs, outputs, 1)
    nn.init.zeros_(made.weight)
    nn.init.zeros_(made.bias)  # type: ignore[arg-type]
    return made
