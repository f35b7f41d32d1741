from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from framework.core.config_files import parse
from framework.core.errors import ConfigError
from framework.networks.base import enlarged
from framework.networks.monai import MonaiConfig
from framework.networks.norm import GlobalBatchNorm, kept_statistics
from framework.networks.registry import build_network
from framework.networks.smp import SmpConfig
from framework.networks.unet import UNetConfig
from framework.training.config import TrainConfig

CONFIGS = [
    UNetConfig(widths=[4, 8, 8]),
    UNetConfig(widths=[4, 8, 8], stride=1),
    SmpConfig(name="smp", decoder="unetplusplus", encoder="resnet18"),
]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.name)
@pytest.mark.parametrize("size", [(32, 32), (33, 50)])
def test_logits_have_the_image_size(config: UNetConfig | SmpConfig, size: tuple[int, int]) -> None:
    assert build_network(config, 3, 4, 0, 0).eval()(torch.randn(2, 3, *size)).shape == (2, 4, *size)


@pytest.mark.parametrize(
    "config",
    [
        MonaiConfig(name="monai", widths=[4, 8, 8], flat=1, dropout=0.1),
        MonaiConfig(name="monai", architecture="vnet"),
    ],
)
def test_logits_have_the_size_of_the_volume(config: MonaiConfig) -> None:
    network = build_network(config, 2, 3, 0, 0)
    assert network(torch.randn(2, 2, 5, 16, 18)).shape == (2, 3, 5, 16, 18)
    norms = [module for module in network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    assert norms and all(type(norm) is GlobalBatchNorm for norm in norms)


def test_flat_levels_keep_the_slices() -> None:
    network = build_network(MonaiConfig(name="monai", widths=[4, 8, 8], flat=2), 1, 2, 0, 0)
    shapes: list[torch.Size] = []
    for module in network.modules():
        module.register_forward_hook(lambda module, inputs, output: shapes.append(output.shape))
    network(torch.randn(1, 1, 3, 8, 8))
    assert {shape[2] for shape in shapes} == {3} and min(shape[3] for shape in shapes) == 2


def test_the_v_net_says_what_channels_it_takes() -> None:
    with pytest.raises(ConfigError, match="the V-Net takes 1, 2, 4, 8 or 16 channels, the corpus has 3"):
        build_network(MonaiConfig(name="monai", architecture="vnet"), 3, 2, 0, 0)


def test_images_are_continued_by_their_border_to_what_a_network_takes() -> None:
    image = torch.arange(1.0, 7).view(1, 1, 2, 3)
    whole = enlarged(image, (2, 4))
    assert torch.equal(whole, image[..., [0, 1, 2, 2]]) and enlarged(image, (1, 3)) is image


def test_members_differ_and_seeds_repeat() -> None:
    def weights(seed: int, member: int) -> torch.Tensor:
        return torch.cat([p.flatten() for p in build_network(CONFIGS[0], 1, 3, seed, member).parameters()])

    assert torch.equal(weights(0, 0), weights(0, 0))
    assert not torch.equal(weights(0, 0), weights(0, 1)) and not torch.equal(weights(0, 0), weights(1, 0))


def test_building_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    build_network(CONFIGS[0], 1, 3, 0, 0)
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"decoder": "unett"}, "no decoder 'unett'; did you mean 'unet'"),
        ({"encoder": "resnet1"}, "'resnet1' cannot be built"),
    ],
)
def test_unknown_names_are_said(change: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build_network(SmpConfig(name="smp", **change), 1, 2, 0, 0)  # type: ignore[arg-type]


def test_on_one_rank_the_global_norm_is_torch_norm() -> None:
    plain = nn.BatchNorm2d(3)
    ours = GlobalBatchNorm.replace_in(nn.Sequential(nn.BatchNorm2d(3)))
    x = torch.randn(4, 3, 5, 5)
    assert torch.equal(plain(x), ours(x))


def test_timm_s_norms_with_activation_are_global_too() -> None:
    """They were left alone: statistics of one rank each, and strong views were remembered."""
    from timm.layers.norm_act import BatchNormAct2d

    theirs = BatchNormAct2d(3)
    ours = GlobalBatchNorm.replace_in(nn.Sequential(copy.deepcopy(theirs)))
    image = torch.randn(4, 3, 8, 8)
    assert torch.equal(ours(image), theirs(image)) and torch.equal(ours.eval()(image), theirs.eval()(image))
    mobile = build_network(
        SmpConfig(name="smp", decoder="unet", encoder="tu-mobilenetv3_small_050"), 1, 2, 0, 0
    )
    assert all(isinstance(m, GlobalBatchNorm) for m in mobile.modules() if isinstance(m, _BatchNorm))


def test_one_pixel_of_one_image_cannot_be_normalised_and_the_cure_is_named() -> None:
    norm = GlobalBatchNorm(3)
    assert norm(torch.randn(2, 3, 1, 1)).shape == (2, 3, 1, 1)
    with pytest.raises(ConfigError, match=r"one pixel of one image.*raise train\.batch or corpus\.size"):
        norm(torch.randn(1, 3, 1, 1))


def test_kept_statistics_normalise_by_the_batch_and_remember_nothing_of_it() -> None:
    network = GlobalBatchNorm.replace_in(nn.Sequential(nn.BatchNorm2d(3)))
    x = 2 * torch.randn(4, 3, 5, 5) + 1
    expected = nn.BatchNorm2d(3)(x)
    before = {name: value.clone() for name, value in network.state_dict().items() if "running" in name}
    with kept_statistics(network):
        assert torch.equal(network(x), expected)
    assert all(torch.equal(network.state_dict()[name], value) for name, value in before.items())
    network(x)
    assert not torch.equal(network.state_dict()["0.running_mean"], before["0.running_mean"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"network": {"name": "unett"}}, r"key 'network\.name' is 'unett'; did you mean 'unet'"),
        ({"network": "unet"}, r"key 'network\.name' is missing"),
        ({"compute": {"strategy": {"name": "ddpp"}}}, r"key 'compute\.strategy\.name' is 'ddpp'"),
    ],
)
def test_wrong_names_in_settings_are_said_by_their_key(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse({"name": "x", "out": "out", "corpus": {"path": "corpus"}, **settings}, TrainConfig)
