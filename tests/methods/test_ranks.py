"""Losses and averages over the global batch: on two ranks, whose images differ, as on one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn

from framework.core.labels import IGNORE
from framework.loading.loader import StreamBatch
from framework.methods.classifier.method import known_cross_entropy
from framework.methods.coda import CoDA
from framework.methods.collaborative.lesions import lesion_loss
from framework.methods.common.losses import partial_cross_entropy, supervised_loss
from framework.methods.dcr.indicators import IndicatorConfig, Indicators
from tests.methods.support import convolutions
from tests.ranks import on_ranks

K = 3


def mask() -> Tensor:
    """Of six images; those of the second rank are mostly unlabelled."""
    drawn = torch.randint(0, K, (6, 8, 8))
    drawn[1::2, 2:] = IGNORE
    return drawn


def lesions(logits: Tensor, ids: Tensor) -> Tensor:
    planes = torch.stack([torch.where(ids == IGNORE, IGNORE, ids == k) for k in range(K)], 1)
    return lesion_loss(logits, planes.long(), torch.ones(K), 1.0)


def grades(logits: Tensor, ids: Tensor) -> Tensor:
    return known_cross_entropy(logits.mean((2, 3)), torch.where(ids[:, 7, 7] == IGNORE, -1, ids[:, 7, 7]))


@pytest.mark.parametrize("loss", [supervised_loss, partial_cross_entropy, lesions, grades])
def test_a_loss_and_its_gradient_are_of_the_global_batch(loss: Callable[[Tensor, Tensor], Tensor]) -> None:
    logits, truth = torch.randn(6, K, 8, 8).double(), mask()

    def of(part: slice) -> tuple[Tensor, Tensor]:
        given = logits[part].clone().requires_grad_()
        value = loss(given, truth[part])
        return value.detach(), torch.autograd.grad(value, given)[0]

    value, gradient = of(slice(None))
    for rank, (mine, own) in enumerate(on_ranks(2, lambda rank: of(slice(rank, None, 2)))):
        torch.testing.assert_close(mine, value)
        torch.testing.assert_close(own / 2, gradient[rank::2])  # the strategy averages over ranks


def test_the_averages_of_coda_are_of_the_global_batch() -> None:
    labelled, unlabelled, truth = torch.randn(6, K, 8, 8), torch.randn(6, K, 8, 8) + 1, mask()

    def state(part: slice) -> dict[str, Tensor]:
        method = CoDA(CoDA.Config(name="coda"), convolutions(K))
        both = [torch.cat([labelled[part], unlabelled[part]])] * 2
        method.pseudo_labels(both, truth[part])
        return method.distributions.state_dict()

    whole = state(slice(None))
    for mine in on_ranks(2, lambda rank: state(slice(rank, None, 2))):
        torch.testing.assert_close(mine, whole)


def test_ranks_know_the_influences_of_all_weak_masks() -> None:
    network, images, truth = nn.Conv2d(1, K, 3, padding=1).eval(), torch.randn(6, 1, 8, 8), mask()
    ids, direction = [f"image {i}" for i in range(6)], torch.randn(9 * K)

    def influences(part: slice) -> Tensor:
        mine, indicators = deepcopy(network), Indicators(IndicatorConfig(), 100, K)
        indicators.prepare(ids, mine)
        indicators.gradient = direction

        def read(stream: str) -> Iterator[StreamBatch]:
            yield StreamBatch(ids[part], images[part], (), truth[part])

        return indicators._influences(mine, read)

    whole = influences(slice(None))
    assert (whole.abs() > 1e-4).all()
    for mine in on_ranks(2, lambda rank: influences(slice(rank, None, 2))):
        torch.testing.assert_close(mine, whole)
