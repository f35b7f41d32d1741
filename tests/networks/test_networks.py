from __future__ import annotations

import pytest
import torch
from torch import nn

from framework.errors import ConfigError
from framework.networks.build import SmpConfig, build_network
from framework.networks.norm import GlobalBatchNorm
from framework.networks.unet import UNetConfig

CONFIGS = [UNetConfig(widths=[4, 8, 8]), SmpConfig(name="smp", decoder="unetplusplus", encoder="resnet18")]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.name)
@pytest.mark.parametrize("size", [(32, 32), (33, 50)])
def test_logits_have_the_image_size(config: UNetConfig | SmpConfig, size: tuple[int, int]) -> None:
    assert build_network(config, 3, 4, 0, 0).eval()(torch.randn(2, 3, *size)).shape == (2, 4, *size)


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
    [({"decoder": "unett"}, "no decoder 'unett'; did you mean 'unet'"), ({"encoder": "resnet1"}, "'resnet1' cannot be built")],
)
def test_unknown_names_are_said(change: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build_network(SmpConfig(name="smp", **change), 1, 2, 0, 0)  # type: ignore[arg-type]


def test_on_one_rank_the_global_norm_is_torch_norm() -> None:
    plain = nn.BatchNorm2d(3)
    ours = GlobalBatchNorm.replace_in(nn.Sequential(nn.BatchNorm2d(3)))
    x = torch.randn(4, 3, 5, 5)
    assert torch.equal(plain(x), ours(x))
