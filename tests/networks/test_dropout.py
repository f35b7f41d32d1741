from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from framework.core.memory_format import layout
from framework.networks.dropout import ImageDropout, fingerprints
from framework.networks.registry import build_network
from framework.networks.unet import UNetConfig


def test_what_an_image_loses_depends_on_it_alone() -> None:
    dropout, image = ImageDropout(0.5).train(), torch.randn(4, 1, 8, 8)
    features = torch.ones(4, 64, 2, 2)
    together = dropout(features, image)
    assert torch.equal(dropout(features[1:3], image[1:3]), together[1:3])
    assert torch.equal(dropout(features, image), together)
    assert len({tuple(lost.flatten().tolist()) for lost in together}) == 4
    assert not torch.equal(dropout(features, image + 1e-6), together)


def test_channels_are_dropped_whole_and_the_kept_ones_scaled() -> None:
    dropped = ImageDropout(0.25).train()(torch.ones(200, 40, 2, 2), torch.randn(200, 1, 4, 4))
    assert set(dropped.unique().tolist()) == {0.0, torch.tensor(1 / 0.75).item()}
    assert torch.equal(dropped, dropped[:, :, :1, :1].expand_as(dropped))
    assert abs(dropped.mean() - 1) < 0.03


def test_nothing_is_dropped_in_evaluation_or_without_a_share() -> None:
    features, image = torch.randn(2, 3, 4, 4), torch.randn(2, 1, 8, 8)
    assert (
        ImageDropout(0.5).eval()(features, image) is features
        and ImageDropout(0.0).train()(features, image) is features
    )


@given(st.integers(1, 6), st.integers(1, 9), st.sampled_from([torch.float32, torch.float64]))
def test_a_fingerprint_is_of_the_pixels_and_not_of_the_layout(
    channels: int, side: int, kind: torch.dtype
) -> None:
    image = torch.randn(2, channels, side, side + 1, dtype=kind)
    assert (
        fingerprints(image)
        == fingerprints(image.to(memory_format=layout(4)))
        == fingerprints(image.flip(0))[::-1]
    )


def test_the_u_net_drops_in_training_alone() -> None:
    network, image = (
        build_network(UNetConfig(widths=[4, 8], dropout=0.5), 1, 3, 0, 0),
        torch.randn(2, 1, 16, 16),
    )
    plain = build_network(UNetConfig(widths=[4, 8]), 1, 3, 0, 0)
    assert torch.equal(network.eval()(image), plain.eval()(image))
    assert not torch.equal(network.train()(image), plain.train()(image))
