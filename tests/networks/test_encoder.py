"""Encoders and DropBlock."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from framework.core.errors import ConfigError
from framework.methods.classifier.dropblock import DropBlock, DropBlockConfig
from framework.methods.classifier.method import Classified
from framework.networks.encoder import Encoder, EncoderConfig, TopDownPathway
from framework.networks.registry import build_network

CONFIGS = [
    (EncoderConfig(name="encoder", widths=[4, 8, 8, 16]), [2, 4, 8, 16]),
    (EncoderConfig(name="encoder", widths=[4, 8, 8, 16], output_stride=8), [2, 4, 8, 8]),
    (EncoderConfig(name="encoder", encoder="resnet18", output_stride=8), [4, 8, 8, 8]),
    (EncoderConfig(name="encoder", encoder="swinv2_tiny_window8_256"), [4, 8, 16, 32]),
]


def encoder(config: EncoderConfig) -> Encoder:
    built = build_network(config, 1, 2, 0, 0)
    assert isinstance(built, Encoder)
    return built.eval()


@pytest.mark.parametrize(("config", "strides"), CONFIGS, ids=["small", "small at 8", "resnet18", "swinv2"])
def test_a_pyramid_has_four_levels_with_channels_first(config: EncoderConfig, strides: list[int]) -> None:
    built, size = encoder(config), 64  # transformers took the size of their own training alone
    with torch.no_grad():
        levels = built(torch.randn(1, 1, size, size))
    assert [level.shape for level in levels] == [
        (1, width, size // stride, size // stride)
        for width, stride in zip(built.widths, strides, strict=True)
    ]


@pytest.mark.parametrize("config", [CONFIGS[0][0], CONFIGS[3][0]], ids=["small", "swinv2"])
def test_what_changes_a_level_is_seen_by_the_next(config: EncoderConfig) -> None:
    built, shapes = encoder(config), []

    def nothing(level: Tensor) -> Tensor:
        shapes.append(level.shape[1])
        return torch.zeros_like(level)

    image = torch.randn(1, 1, 256, 256)
    with torch.no_grad():
        before = built(image)
        built.after_levels([nothing, nothing])
        after = built(image)
    assert shapes == built.widths[-2:]
    assert torch.equal(before[1], after[1]) and not after[2].any() and not after[3].any()


def test_channels_that_come_last_are_not_taken_for_rows_of_the_same_number() -> None:
    level = torch.randn(1, 6, 6, 6)

    class Stages(torch.nn.Module):
        def forward(self, image: Tensor) -> list[Tensor]:
            return [level] * 4

    assert torch.equal(Encoder(Stages(), 1, [6] * 4, 16, [], dim=-1)(level)[0], level.permute(0, 3, 1, 2))


def test_names_and_weights_that_cannot_be_had() -> None:
    with pytest.raises(ConfigError, match=r"timm has no model 'resnet-18'; did you mean"):
        encoder(EncoderConfig(name="encoder", encoder="resnet-18"))
    with pytest.raises(ConfigError, match=r"'efficientnetv2_s' gives no pyramid|cannot|stride"):
        encoder(EncoderConfig(name="encoder", encoder="swinv2_tiny_window8_256", output_stride=8))


def block(share: float, side: int, images: int, seed: int = 0) -> DropBlock:
    made = DropBlock(DropBlockConfig(share=share, block=side))
    made.generators = [torch.Generator().manual_seed(seed + i) for i in range(images)]
    return made


def test_dropblock_is_the_identity_in_evaluation_and_for_no_share() -> None:
    x = torch.randn(2, 3, 9, 9)
    assert torch.equal(block(0.3, 3, 2).eval()(x), x)
    assert torch.equal(block(0.0, 3, 2).train()(x), x)


def test_dropblock_keeps_the_mean_and_drops_as_much_as_its_formula_says() -> None:
    """Methods/README 2.2: off the border 1 - (1 - P / b²)^(b²) are dropped, 0.182 for P = 0.2 and b = 7."""
    x = torch.ones(400, 2, 40, 40)
    out = block(0.2, 7, 400).train()(x)
    dropped = (out[:, 0, 4:-4, 4:-4] == 0).float().mean().item()
    assert dropped == pytest.approx(0.182, abs=0.015)
    assert out.mean().item() == pytest.approx(1, abs=1e-5)
    assert torch.equal(out[:, 0], out[:, 1])


def test_dropblock_drops_whole_blocks_and_each_image_by_its_own_draw() -> None:
    x = torch.ones(3, 1, 30, 30)
    out = block(0.05, 5, 3).train()(x)[:, 0] == 0
    again = block(0.05, 5, 1, seed=1).train()(x[1:2])[:, 0] == 0
    assert torch.equal(out[1:2], again)
    windows = torch.nn.functional.unfold(out[:, None].float(), 5)
    full = (windows.sum(1, keepdim=True) == 25).float().expand_as(windows)
    whole = torch.nn.functional.fold(full, (30, 30), 5)[:, 0] > 0  # every dropped pixel is in such a window
    inner = slice(4, -4)
    assert torch.equal(out[:, inner, inner] & ~whole[:, inner, inner], torch.zeros_like(out[:, inner, inner]))


def test_a_configured_dropblock_changes_features_in_training_and_only_there() -> None:
    """Methods/README 7.3, 2. Only the block is in training: batch normalisation would change features too."""
    plain = encoder(EncoderConfig(name="encoder", encoder="small", widths=[4, 8, 8, 8], output_stride=8))
    image = torch.randn(2, 1, 64, 64)
    with torch.no_grad():
        before = plain(image)
        regularised = Classified(plain, [2], DropBlockConfig(share=0.3, block=3)).eval()
        assert all(map(torch.equal, before, plain(image)))
        assert regularised.dropblock is not None
        regularised.dropblock.train()
        regularised.draw([torch.Generator().manual_seed(i) for i in range(2)])
        changed = plain(image)
    assert [torch.equal(a, b) for a, b in zip(before, changed, strict=True)] == [True, True, False, False]
    assert (changed[-1] == 0).all(1).any()


def test_a_block_without_a_middle_is_refused() -> None:
    with pytest.raises(ValueError, match="a block has a middle"):
        DropBlockConfig(block=4)


@torch.no_grad()
def test_the_top_down_pathway_adds_the_coarser_levels_to_each() -> None:
    torch.manual_seed(0)
    config = EncoderConfig(name="encoder", encoder="small", widths=[4, 8, 8, 16], output_stride=16)
    plain, image = encoder(config).eval(), torch.ones(1, 1, 32, 32)
    pathway = TopDownPathway(plain)
    levels, merged = plain(image), pathway(image)
    assert torch.equal(merged[-1], levels[-1])
    for i in (2, 1, 0):
        down = pathway.down[i]
        assert isinstance(down, torch.nn.Conv2d)
        assert down.bias is not None
        mapped = torch.einsum("oc,bchw->bohw", down.weight[:, :, 0, 0], merged[i + 1])
        mapped = mapped + down.bias.view(-1, 1, 1)
        upper = torch.nn.functional.interpolate(mapped, levels[i].shape[2:], mode="bilinear")
        torch.testing.assert_close(merged[i], levels[i] + upper)
