"""Mean Teacher, UA-MT, FixMatch and UniMatch, and the traps of public code (methods/README 7.3)."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from framework.core.labels import IGNORE
from framework.loading.loader import StreamBatch
from framework.methods.base import MethodContext
from framework.methods.coda import CoDA
from framework.methods.common.losses import pixel_cross_entropy
from framework.methods.common.noise import boxes, noisy, paste
from framework.methods.common.teacher import Teacher
from framework.methods.cps import CPS
from framework.methods.fixmatch import FixMatch, Mixed, PseudoLabel, partner_label, pseudo_label
from framework.methods.mean_teacher import MeanTeacher
from framework.methods.ua_mt import UAMT, entropy_cut
from framework.methods.unimatch import Perturbed, UniMatch
from framework.networks.registry import build_network
from framework.networks.unet import UNetConfig

K, IDS = 3, ["a", "b", "c"]


def setting() -> MethodContext:
    return MethodContext(
        [str(k) for k in range(K)],
        100,
        0,
        lambda member: build_network(UNetConfig(widths=[4, 8]), 1, K, 0, member),
        1,
    )


def stream(ids: list[str], views: int = 0, label: int | None = None) -> StreamBatch:
    generator = torch.Generator().manual_seed(len(ids[0]))
    images = [torch.randn(len(ids), 1, 16, 16, generator=generator) for _ in range(views + 1)]
    mask = torch.randint(0, K, (len(ids), 16, 16), generator=generator)
    return StreamBatch(
        ids, images[0], tuple(images[1:]), mask if label is None else torch.full_like(mask, label)
    )


def test_a_teacher_normalises_by_its_averages_from_the_first_step_on() -> None:
    """It did so only after the first validation: a run resumed before that went on with another teacher."""
    method = MeanTeacher(MeanTeacher.Config(name="mean_teacher"), setting())
    assert not any(module.training for module in method.teacher.modules() if isinstance(module, _BatchNorm))


def test_a_teacher_averages_statistics_too_and_changes_only_by_following() -> None:
    student = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2))
    teacher = Teacher(_Tuple(student), 0.5).train()
    assert not any(p.requires_grad for p in teacher.parameters())
    student(torch.randn(4, 1, 8, 8) + 3)
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    teacher(torch.randn(4, 1, 8, 8))
    assert all(torch.equal(value, before[name]) for name, value in teacher.state_dict().items())
    teacher.follow(_Tuple(student), 7)
    expected = (before["network.inner.1.running_mean"] + student[1].running_mean) / 2
    assert torch.allclose(teacher.state_dict()["network.inner.1.running_mean"], expected)


def test_after_a_step_the_teacher_has_moved_towards_the_student() -> None:
    method = MeanTeacher(MeanTeacher.Config(name="mean_teacher"), setting())
    before = [parameter.clone() for parameter in method.teacher.parameters()]
    with torch.no_grad():
        for parameter in method.networks.parameters():
            parameter += 1
    method.after_step(3, lambda stream: iter(()))
    for now, then in zip(method.teacher.parameters(), before, strict=True):
        torch.testing.assert_close(now, then + 1 / 4)


def test_pixels_that_a_teacher_is_unsure_of_teach_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    method = UAMT(UAMT.Config(name="ua_mt"), setting())
    entropy, student = torch.zeros(3, 16, 16), torch.zeros(3, K, 16, 16)
    entropy[0], student[0] = 1.0, 1.0
    monkeypatch.setattr(method, "entropy", lambda batch, step: entropy)
    monkeypatch.setattr(method, "teacher_prediction", lambda batch, step, number: torch.zeros_like(student))
    loss, metrics = method.consistency(student, stream(IDS), 50)
    assert loss == 0 and metrics["kept"] == pytest.approx(2 / 3)
    student[1] = 1.0
    assert method.consistency(student, stream(IDS), 50)[0] == pytest.approx(K / 4)


def test_weak_to_strong_losses_rise_over_their_ramp_and_have_none_by_default() -> None:
    assert FixMatch.Config(name="fixmatch", weight=0.5).weight_at(0, 100) == 0.5
    slow = FixMatch.Config(name="fixmatch", weight=0.5, ramp=0.4)
    weights = [slow.weight_at(step, 100) for step in (0, 20, 39, 40, 99)]
    assert weights == sorted(weights) and weights[0] < 0.01 and weights[-2:] == [0.5, 0.5]


def test_the_first_teacher_is_the_student_and_dropout_stays_on_only_in_training() -> None:
    layer = nn.Conv2d(1, 2, 1)
    student = _Tuple(nn.Sequential(layer, nn.Dropout(0.5)))
    teacher = Teacher(student, 0.99)
    nn.init.ones_(layer.weight)
    teacher.follow(student, 0)
    assert torch.equal(teacher.network.inner[0].weight, layer.weight)  # type: ignore[union-attr]
    image = torch.randn(1, 1, 8, 8)
    assert not torch.equal(teacher.train()(image), teacher(image))
    assert torch.equal(teacher.eval()(image), teacher(image))


def test_noise_of_an_image_depends_on_its_name_and_is_cut() -> None:
    image = torch.zeros(3, 1, 8, 8)
    together, alone = noisy(image, IDS, 0.1, 0, 5), noisy(image[:1], ["b"], 0.1, 0, 5)
    assert torch.equal(together[1], alone[0])
    assert not torch.equal(together, noisy(image, IDS, 0.1, 0, 6))
    assert together.abs().max() <= 0.2 and together.std() > 0.05


@given(st.integers(4, 40), st.integers(4, 40), st.integers(1, 4), st.integers(0, 99))
def test_boxes_lie_inside_and_together_cover_about_their_share(
    height: int, width: int, count: int, seed: int
) -> None:
    box = boxes(["a"], (height, width), (0.25, 0.5), count, 1.0, seed)[0]
    assert box.shape == (height, width)
    assert (
        0 < box.float().mean() <= 0.5 + (height + width) * count / (height * width)
    )  # each side rounds to whole pixels


def test_boxes_of_no_probability_are_empty_and_pasting_follows_them() -> None:
    assert not boxes(IDS, (8, 8), (0.1, 0.4), 1, 0.0, 0).any()
    box = boxes(IDS, (8, 8), (0.1, 0.4), 1, 1.0, 0)
    mixed = paste(torch.zeros(3, 2, 8, 8), torch.ones(3, 2, 8, 8), box)
    assert torch.equal(mixed, box[:, None].expand(3, 2, 8, 8).float())


def test_a_mixed_view_takes_label_and_confidence_from_the_same_image_as_its_pixel() -> None:
    box = boxes(IDS, (8, 8), (0.1, 0.4), 1, 1.0, 0)
    own, partner = (
        PseudoLabel(torch.zeros_like(box).long(), torch.zeros(box.shape)),
        PseudoLabel(box * 0 + 2, torch.ones(box.shape)),
    )
    mixed = Mixed(torch.zeros(3, 1, 8, 8), box).label(own, partner)
    assert torch.equal(mixed.ids, 2 * box) and torch.equal(mixed.confidence, box.float())


def test_unsure_pixels_teach_nothing_and_not_the_background() -> None:
    """SSL4MIS multiplies them by 0 before the argmax, which relabels them as background."""
    method = FixMatch(FixMatch.Config(name="fixmatch", threshold=1.0), setting())
    batch = {
        "labelled": stream(IDS),
        "unlabelled": stream(["dd", "ee"], 1, IGNORE),
        "partner": stream(["fff", "ggg"], 1, IGNORE),
    }
    (update,) = method.train_step(batch, 0)
    assert update.metrics["loss_unsupervised"] == 0 and update.metrics["kept"] == 0


def test_of_partly_sure_images_the_sure_pixels_alone_teach() -> None:
    torch.manual_seed(0)
    logits, label, keep = torch.randn(2, K, 8, 8), torch.randint(0, K, (2, 8, 8)), torch.rand(2, 8, 8) > 0.5
    other = torch.where(keep[:, None], logits, 5 * torch.randn(2, K, 8, 8))
    each = -logits.log_softmax(1).gather(1, label[:, None])[:, 0]
    assert torch.allclose(pixel_cross_entropy(logits, label, keep), pixel_cross_entropy(other, label, keep))
    assert torch.allclose(pixel_cross_entropy(logits, label, keep), each[keep].sum() / each.numel())


def test_a_partner_is_predicted_without_a_trace() -> None:
    network = nn.Sequential(build_network(UNetConfig(widths=[4, 8]), 1, K, 0, 0)).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    wrapped = _Tuple(network)
    predicted = partner_label(wrapped, torch.randn(2, 1, 16, 16))
    assert predicted.ids.shape == (2, 16, 16)
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert wrapped.training and network.training


def test_a_rare_class_teaches_unimatch_no_more_than_its_pixels() -> None:
    """Soft Dice let one sure pixel of a class pull as hard as all the background."""
    method = UniMatch(UniMatch.Config(name="unimatch"), setting())
    label = torch.zeros(1, 8, 8, dtype=torch.int64)
    label[0, 0, 0] = 1
    logits = torch.zeros(1, K, 8, 8, requires_grad=True)
    method.loss(logits, PseudoLabel(label, torch.ones(1, 8, 8))).backward()
    assert logits.grad is not None
    pull = logits.grad.abs().sum(1)[0]
    assert pull[0, 0].item() == pytest.approx(pull[5, 5].item())


def test_the_entropy_cut_rises_from_three_quarters_to_all_of_ln_2() -> None:
    assert entropy_cut(0, 100) == pytest.approx((0.75 + 0.25 * math.exp(-5)) * math.log(2))
    assert entropy_cut(100, 100) == pytest.approx(math.log(2))


def test_entropy_is_that_of_the_mean_of_the_passes() -> None:
    method = UAMT(UAMT.Config(name="ua_mt", passes=1, noise=0.0), setting())
    unlabelled = stream(["dd", "ee"])
    p = method.teacher(unlabelled.image)
    assert torch.allclose(method.entropy(unlabelled, 0), -(p * p.log()).sum(1), atol=1e-5)


def test_passes_that_cannot_differ_are_refused() -> None:
    with pytest.raises(ValueError, match="passes without noise are all the same"):
        UAMT.Config(name="ua_mt", noise=0.0)


def test_perturbed_features_leave_the_weak_view_alone_and_are_drawn_by_image() -> None:
    network = Perturbed(setting().network(0), 0.5).eval()
    image, seeds = torch.randn(4, 1, 16, 16), torch.tensor([3, 4])
    weak, perturbed, strong = network(image, image[:1], seeds)
    (plain,) = network(image)
    assert torch.allclose(weak, plain, atol=1e-5) and torch.allclose(strong, plain[:1], atol=1e-5)
    assert perturbed.shape == (2, K, 16, 16) and not torch.allclose(perturbed, plain[2:], atol=1e-3)
    alone = network(image[[0, 3]], image[:1], seeds[1:])[1]
    assert torch.allclose(alone[0], perturbed[1], atol=1e-5)


REMEMBERED = {
    "mean_teacher": (MeanTeacher, MeanTeacher.Config, lambda labelled, weak: [labelled]),
    "cps": (CPS, CPS.Config, lambda labelled, weak: [labelled, weak]),
    "coda": (CoDA, CoDA.Config, lambda labelled, weak: [labelled, weak]),
    "fixmatch": (FixMatch, FixMatch.Config, lambda labelled, weak: [torch.cat([labelled, weak])]),
    "unimatch": (UniMatch, UniMatch.Config, lambda labelled, weak: [torch.cat([labelled, weak])]),
}
"""Method, its settings, and the images that its normalisation remembers, call by call."""


@pytest.mark.parametrize("name", REMEMBERED)
def test_normalisation_remembers_no_strong_view(name: str) -> None:
    """No prediction sees one; running statistics were half of them."""
    build, config, remembered = REMEMBERED[name]
    method = build(config(name=name), setting())  # type: ignore[operator, arg-type, call-arg]
    views = method.streams[1].strong
    batch = {
        "labelled": stream(IDS),
        "unlabelled": stream(["dd", "ee"], views),
        "partner": stream(["fff", "ggg"], views),
    }
    alone = setting().network(0)
    for images in remembered(batch["labelled"].image, batch["unlabelled"].image):
        alone(images)
    next(method.train_step(batch, 0))
    (group, *_) = method.networks.children()
    network = group.first if name in ("cps", "coda") else group.network
    state = network.state_dict()  # type: ignore[union-attr]
    expected = {key: value for key, value in alone.state_dict().items() if "running" in key}
    assert expected and all(torch.allclose(state[key], value) for key, value in expected.items())


def test_a_target_has_no_graph() -> None:
    label = pseudo_label(torch.randn(1, K, 4, 4, requires_grad=True))
    assert not label.confidence.requires_grad and (label.confidence >= 1 / K).all()


def test_the_student_sees_the_strong_view_and_the_teacher_the_weak_one() -> None:
    """On one and the same view a student learnt its own mistakes: no better than labelled images alone."""
    method = MeanTeacher(MeanTeacher.Config(name="mean_teacher", noise=0.0), setting())
    student, teacher = [], []
    method.networks["network"].register_forward_pre_hook(lambda _, images: student.extend(images))
    method.teacher.register_forward_pre_hook(lambda _, images: teacher.extend(images))
    batch = {"labelled": stream(IDS), "unlabelled": stream(["dd", "ee"], 1)}
    next(method.train_step(batch, 0))
    unlabelled = batch["unlabelled"]
    assert torch.equal(student[0], batch["labelled"].image) and torch.equal(student[1], unlabelled.strong[0])
    assert torch.equal(teacher[0], unlabelled.image)


class _Tuple(nn.Module):
    def __init__(self, inner: nn.Sequential) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, image: Tensor) -> tuple[Tensor]:
        return (self.inner(image),)
