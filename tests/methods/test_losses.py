from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from framework.methods.classifier.method import known_cross_entropy
from framework.methods.common.losses import (
    gaussian_ramp,
    hard_labels,
    pixel_cross_entropy,
    supervised_loss,
    supervised_sums,
)


def by_the_formula(logits: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """methods/README 6, written as it stands there."""
    valid = mask != 255
    p = logits.softmax(1).movedim(1, -1)[valid]
    y = F.one_hot(mask[valid], logits.shape[1]).float()
    dice = 1 - (2 * (p * y).sum(0) + 1e-5) / (p.square().sum(0) + y.sum(0) + 1e-5)
    return 0.5 * (F.cross_entropy(logits, mask, ignore_index=255) + dice.mean())


@pytest.mark.parametrize("ignored", [0, 50])
def test_supervised_loss_and_its_gradient_are_the_formula(ignored: int) -> None:
    torch.manual_seed(0)
    logits = torch.randn(2, 4, 9, 7, requires_grad=True)
    mask = torch.randint(0, 4, (2, 9, 7))
    mask.view(-1)[:ignored] = 255
    ours, theirs = supervised_loss(logits, mask), by_the_formula(logits, mask)
    assert torch.allclose(ours, theirs, atol=1e-6)
    gradients = [torch.autograd.grad(loss, logits)[0] for loss in (ours, theirs)]
    assert torch.allclose(gradients[0], gradients[1], atol=1e-6)


def test_sums_over_many_pixels_are_as_precise_as_their_type() -> None:
    """One float32 after another, they were off by a hundredth on a batch of large images."""
    torch.manual_seed(0)
    logits, mask = 3 * torch.randn(4, 2, 512, 512), torch.zeros(4, 512, 512, dtype=torch.long)
    assert torch.allclose(
        supervised_sums(logits, mask).double(), supervised_sums(logits.double(), mask), rtol=1e-6
    )


def test_nothing_labelled_gives_no_gradient_and_no_nan() -> None:
    logits = torch.randn(1, 3, 4, 4, requires_grad=True)
    loss = supervised_loss(logits, torch.full((1, 4, 4), 255))
    loss.backward()
    assert torch.isfinite(loss) and logits.grad is not None and logits.grad.abs().max() == 0


def test_dropped_pixels_lower_the_weight_of_the_rest_not_raise_it() -> None:
    logits, label = torch.randn(1, 3, 4, 4), torch.randint(0, 3, (1, 4, 4))
    keep = torch.zeros(1, 4, 4)
    keep[..., :2] = 1
    expected = F.cross_entropy(logits[..., :2], label[..., :2], reduction="sum") / 16
    assert pixel_cross_entropy(logits, label, keep).item() == pytest.approx(expected.item(), rel=1e-5)


def test_images_of_unknown_class_count_nowhere() -> None:
    logits = torch.randn(3, 4)
    known = F.cross_entropy(logits[[0, 2]], torch.tensor([1, 0]))
    assert known_cross_entropy(logits, torch.tensor([1, -1, 0])).item() == pytest.approx(known.item())
    assert known_cross_entropy(logits, torch.full((3,), -1)) == 0


def test_hard_labels_are_the_argmax_in_any_layout() -> None:
    logits = torch.randn(2, 5, 6, 7)
    assert torch.equal(hard_labels(logits), logits.argmax(1))
    assert torch.equal(hard_labels(logits.to(memory_format=torch.channels_last)), logits.argmax(1))


def test_ramp() -> None:
    assert gaussian_ramp(0, 10) == pytest.approx(0.00674, rel=1e-3)
    assert gaussian_ramp(10, 10) == gaussian_ramp(99, 10) == gaussian_ramp(0, 0) == 1.0
