"""The invariants of methods/README 4.9, and the reductions to CPS of 4.3 (g)."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from framework.loading.loader import StreamBatch
from framework.methods.coda import CoDA, Distributions, _batch_sums, _conditional_sums, _sums_and_counts
from framework.methods.common.losses import supervised_loss
from framework.methods.cps import CPS
from tests.methods.support import convolutions

K = 4


def batch(seed: int = 0) -> dict[str, StreamBatch]:
    torch.manual_seed(seed)
    mask = torch.randint(0, K, (3, 8, 8))
    mask[0, 0] = 255
    return {
        "labelled": StreamBatch(["a", "b", "c"], torch.randn(3, 1, 8, 8), (), mask),
        "unlabelled": StreamBatch(
            ["d", "e", "f"], torch.randn(3, 1, 8, 8), (torch.randn(3, 1, 8, 8),), torch.full((3, 8, 8), 255)
        ),
    }


def sums(probability: Tensor) -> Tensor:
    return torch.cat([torch.zeros(K, K), probability.sum((0, 2, 3))[None]])


def distributions(labelled: Tensor, unlabelled: Tensor, updates: int = 1, **changes: object) -> Distributions:
    """Averages after some batches of these probabilities."""
    averages = Distributions(CoDA.Config(name="coda", **changes), K)  # type: ignore[arg-type]
    for _ in range(updates):
        averages.observe(sums(labelled), sums(unlabelled), torch.tensor(0.9))
    return averages


def random_probability(scale: Tensor | float = 1.0) -> Tensor:
    shift = torch.as_tensor(scale) * torch.arange(K)
    return (torch.randn(4, K, 8, 8) + shift[None, :, None, None]).softmax(1)


def test_equal_marginals_change_nothing() -> None:
    p = random_probability()
    averages = distributions(p, p, updates=5)
    assert torch.equal(averages.labelled, averages.unlabelled)
    assert torch.allclose(averages.align(p.log()).softmax(1), p, atol=1e-6)


def test_aligned_probabilities_sum_to_one_and_a_certain_pixel_stays() -> None:
    averages = distributions(random_probability(0.5), random_probability(-0.5))
    logits = torch.full((1, K, 1, 1), -1e4)
    logits[0, 2] = 0
    aligned = averages.align(logits).softmax(1)
    assert aligned[0, 2].item() == 1.0
    assert torch.allclose(
        averages.align(random_probability().log()).softmax(1).sum(1), torch.ones(4, 8, 8), atol=1e-6
    )


def test_alignment_moves_the_marginal_to_the_target() -> None:
    torch.manual_seed(0)
    labelled, unlabelled = random_probability(0.4), random_probability(-0.4)
    averages = distributions(labelled, unlabelled)
    target = labelled.mean((0, 2, 3))
    before = (unlabelled.mean((0, 2, 3)) - target).abs().sum()
    after = (averages.align(unlabelled.log()).softmax(1).mean((0, 2, 3)) - target).abs().sum()
    assert after < 0.6 * before


def test_bias_correction_forgets_the_uniform_start() -> None:
    p = random_probability(1.0)
    averages = distributions(p, p, momentum=0.99)
    assert torch.allclose(averages.marginals()[0][-1], p.mean((0, 2, 3)), atol=1e-4)


def test_ratios_are_clamped() -> None:
    rare = torch.full((1, K, 4, 4), 1e-9)
    rare[:, 0] = 1 - 3e-9
    averages = distributions(random_probability(), rare, r_max=3.0)
    assert averages.ratios().max() <= 3.0 and averages.ratios().min() >= 1 / 3


def test_a_class_without_pixels_keeps_its_expectation() -> None:
    averages = distributions(random_probability(), random_probability())
    averages.expect(torch.tensor([8.0, 0, 0, 4.5]), torch.tensor([10.0, 0, 0, 5.0]))
    assert averages.expected.tolist() == pytest.approx([0.8, -1, -1, 0.9])
    assert averages.threshold().min() >= 1 / K
    averages.expect(torch.tensor([0.0, 3.0, 0, 0]), torch.tensor([0.0, 5.0, 0, 0]))
    assert averages.expected[0].item() == pytest.approx(0.8) and averages.expected[1].item() == pytest.approx(
        0.6
    )


def test_saturated_confidences_still_pass() -> None:
    averages = distributions(random_probability(), random_probability())
    averages.expect(torch.full((K,), 10.0), torch.full((K,), 10.0))
    assert (torch.ones(K) >= averages.threshold()).all()


def test_pixels_without_a_label_count_in_no_average() -> None:
    logits, mask = torch.randn(6, K, 8, 8), batch()["labelled"].mask
    others = torch.where((mask == 255)[:, None], torch.randn(3, K, 8, 8), logits[:3])
    changed = torch.cat([others, logits[3:]])
    assert not torch.equal(changed, logits)
    torch.testing.assert_close(_batch_sums(logits, mask), _batch_sums(changed, mask))


def test_both_ideas_off_is_cps_exactly() -> None:
    off = CoDA.Config(name="coda", alignment="off", expectation="off", warmup=0)
    coda, cps = CoDA(off, convolutions(K)), CPS(CPS.Config(name="cps"), convolutions(K))
    for step in (0, 10, 60):
        first, second = next(coda.train_step(batch(step), step)), next(cps.train_step(batch(step), step))
        assert torch.equal(first.loss, second.loss)
        for a, b in zip(
            torch.autograd.grad(first.loss, list(coda.networks.parameters())),
            torch.autograd.grad(second.loss, list(cps.networks.parameters())),
            strict=True,
        ):
            assert torch.equal(a, b)


def test_a_network_learns_from_strong_views_what_the_other_says_of_weak_ones() -> None:
    method, given = CPS(CPS.Config(name="cps", ramp=0.0), convolutions(K)), batch()
    unlabelled = given["unlabelled"]
    first, second = method.networks["pair"].children()
    expected = F.cross_entropy(first(unlabelled.strong[0]), second(unlabelled.image).argmax(1))
    expected += F.cross_entropy(second(unlabelled.strong[0]), first(unlabelled.image).argmax(1))
    assert torch.allclose(next(method.train_step(given, 0)).metrics["loss_unsupervised"], expected)


@pytest.mark.parametrize("alignment", ["off", "per_class", "per_class_conditional"])
@pytest.mark.parametrize("expectation", ["off", "per_class", "global", "marginal"])
def test_swapping_the_networks_swaps_what_they_teach(alignment: str, expectation: str) -> None:
    config = CoDA.Config(name="coda", alignment=alignment, expectation=expectation)  # type: ignore[arg-type]
    logits = [torch.randn(6, K, 8, 8), torch.randn(6, K, 8, 8)]
    mask = torch.randint(0, K, (3, 8, 8))
    one, two = CoDA(config, convolutions(K)), CoDA(config, convolutions(K))
    first, second = one.pseudo_labels(logits, mask), two.pseudo_labels(logits[::-1], mask)
    (labels, keep), (swapped_labels, swapped_keep) = first, second
    assert torch.equal(labels[0], swapped_labels[1])
    assert keep[0] is swapped_keep[1] is None or torch.equal(keep[0], swapped_keep[1])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "method",
    [
        CPS(CPS.Config(name="cps", weight=0.0), convolutions(K)),
        CoDA(CoDA.Config(name="coda", weight=0.0), convolutions(K)),
    ],
)
def test_without_weight_the_networks_learn_from_masks_each_by_itself(method: CPS | CoDA) -> None:
    """methods/README 4.9: two supervised runs, in their loss and in every gradient."""
    given = batch()
    (update,) = method.train_step(given, 50)
    update.loss.backward()
    for member, network in enumerate(method.networks["pair"].children()):
        alone = convolutions(K).network(member)
        supervised_loss(alone(given["labelled"].image), given["labelled"].mask).backward()
        for ours, theirs in zip(network.parameters(), alone.parameters(), strict=True):
            assert (
                ours.grad is not None
                and theirs.grad is not None
                and torch.allclose(ours.grad, theirs.grad, atol=1e-7)
            )


def test_warm_up_teaches_nothing_but_gathers_statistics() -> None:
    method = CoDA(CoDA.Config(name="coda", warmup=5, ramp=0.0), convolutions(K))
    metrics = next(method.train_step(batch(), 4)).metrics
    assert metrics["weight"] == 0 and method.statistics()["expected_1"].max() > 0
    assert next(method.train_step(batch(), 5)).metrics["weight"] == pytest.approx(0.5)


def test_the_state_is_the_networks_and_the_averages_in_float32() -> None:
    state = CoDA(CoDA.Config(name="coda"), convolutions(K)).state_dict()
    averages = {name: value for name, value in state.items() if name.startswith("distributions.")}
    assert len(averages) == 10 and all(value.dtype == torch.float32 for value in averages.values())


def test_sums_over_millions_of_pixels_are_exact() -> None:
    """Past 100,000 pixels sums of float32 round values near 1 up: the mean confidence was 0.999."""
    torch.manual_seed(0)
    confidence = 1 - 0.1 * torch.rand(1, 1000, 1500) ** 3
    (value, count) = _sums_and_counts(confidence, torch.zeros(1, 1000, 1500, dtype=torch.long), 2)[:, 0]
    assert float(value / count) == pytest.approx(float(confidence.double().mean()), abs=1e-7)
    sums = _conditional_sums(torch.stack([confidence, 1 - confidence], 1))
    assert float(sums[-1, 0] / count) == pytest.approx(float(confidence.double().mean()), abs=1e-7)
