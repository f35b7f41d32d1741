"""Lesions, grades and their collaboration: methods/README 1.13, and losses against slow references."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from framework.core.errors import ConfigError, CorpusError
from framework.core.labels import IGNORE
from framework.corpus.bits import BITS, require_bits
from framework.loading.training_set import CorpusConfig, TrainingSet
from framework.methods.base import PretrainedModel
from framework.methods.collaborative.discriminator import Adversary, MaskPair
from framework.methods.collaborative.lesions import Lesions, lesion_loss, rarity, targets
from framework.methods.collaborative.method import Collaborative
from framework.methods.collaborative.networks import Attention, GraderNetwork
from framework.methods.collaborative.pseudo_masks import PseudoMaskConfig, pseudo_masks, unweighted
from framework.training.run import train
from framework.training.trainer import Trainer
from tests.contract.support import build, build_phantom, tiny_run

L = 3
SHARP = PseudoMaskConfig(agreement=0)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> str:
    return build_phantom(tmp_path_factory.mktemp("lesions") / "corpus")


def updates(trainer: Trainer) -> list[tuple[str, dict[str, torch.Tensor | None]]]:
    """The group of each update of a first step, and the gradients that its loss leaves, by parameter."""
    trainer.method.train()
    gradients = []
    for update in trainer.method.train_step(trainer.loader.batch_at(0), 0):
        update.loss.backward()
        gradients.append((update.group, {n: p.grad for n, p in trainer.method.networks.named_parameters()}))
        trainer.method.zero_grad(set_to_none=True)
    return gradients


@pytest.mark.parametrize("method", ["lesions", "collaborative"])
def test_every_update_reaches_its_own_network_alone(method: str, corpus: str, tmp_path: Path) -> None:
    trainer = build(tiny_run(corpus, method, tmp_path))
    for group, gradients in updates(trainer):
        assert {name.split(".")[0] for name, grad in gradients.items() if grad is not None} == {group}


def test_without_pseudo_masks_and_judge_it_is_a_supervised_step(corpus: str, tmp_path: Path) -> None:
    alone = build(tiny_run(corpus, "lesions-alone", tmp_path))
    changes: dict[str, Any] = {
        "method": {"weight": 0.0, "joint": 0.0, "adversary": None},
        "optimiser": {"weight_decay": 0.0},
    }
    both = build(tiny_run(corpus, "collaborative", tmp_path, changes))
    alone.method.networks["generator"].load_state_dict(both.method.networks["generator"].state_dict())
    batch = both.loader.batch_at(0)
    losses = [list(t.method.train_step(batch, 0))[-1].loss for t in (alone, both)]
    assert torch.equal(*losses)
    pairs = zip(losses, (alone, both), strict=True)
    grads = [
        torch.autograd.grad(loss, list(t.method.networks["generator"].parameters())) for loss, t in pairs
    ]
    assert all(torch.equal(a, b) for a, b in zip(*grads, strict=True))


def test_a_healthy_image_has_no_lesion_whatever_the_attention() -> None:
    attention, predicted = torch.rand(2, L, 8, 8), torch.rand(2, L, 32, 32)
    planes = pseudo_masks(attention, predicted, torch.tensor([True, False]), SHARP)
    assert not planes[0].any() and planes[1].any()
    assert set(planes.unique().tolist()) <= {0, 1, IGNORE} and not planes.requires_grad


def test_attention_without_contrast_says_nothing_and_a_low_peak_says_there_is_none() -> None:
    attention = torch.stack([torch.full((8, 8), 0.97), torch.full((8, 8), 0.1), torch.zeros(8, 8)])[None]
    attention[0, 2, 2:4, 2:4] = 0.9
    planes = pseudo_masks(attention, torch.ones(1, L, 8, 8), torch.tensor([False]), SHARP)[0]
    assert (planes[0] == IGNORE).all() and (planes[1] == 0).all()
    assert (planes[2, 2:4, 2:4] == 1).all() and (planes[2] == 1).sum() == 4
    unsure = pseudo_masks(attention, torch.zeros(1, L, 8, 8), torch.tensor([False]), PseudoMaskConfig())[0]
    assert (unsure[2, 2:4, 2:4] == IGNORE).all() and not (unsure == 1).any()


def test_attention_that_is_low_on_a_lesion_does_not_take_it_away() -> None:
    """The grader may attend to what surrounds a lesion; pixels where the segmenter differs are unlabelled."""
    attention, predicted = torch.full((1, 1, 8, 8), 0.9), torch.zeros(1, 1, 8, 8)
    attention[..., 2:4, 2:4], predicted[..., 2:4, 2:4] = 0.1, 0.99
    planes = pseudo_masks(attention, predicted, torch.tensor([False]), PseudoMaskConfig())
    assert (planes == IGNORE).all()
    assert (
        pseudo_masks(1 - attention, predicted, torch.tensor([False]), PseudoMaskConfig())[..., 2:4, 2:4] == 1
    ).all()


def test_no_predicted_lesion_still_gives_a_grade(corpus: str, tmp_path: Path) -> None:
    trainer = build(tiny_run(corpus, "collaborative", tmp_path))
    images = torch.randn(2, 3, 32, 32)
    logits, attention = trainer.method.networks["grader"].eval()(images, torch.zeros(2, 4, 32, 32))
    assert torch.isfinite(logits).all() and ((attention > 0) & (attention < 1)).all()


def test_a_graded_image_with_a_mask_keeps_it(corpus: str, tmp_path: Path) -> None:
    """Where every image of a step has a mask, attention decides nothing: other thresholds, the same loss."""
    metrics = []
    for pseudo in ({}, {"contrast": 0.0, "low": 0.0, "high": 0.0, "agreement": 0.0}):
        trainer = build(
            tiny_run(corpus, "collaborative", tmp_path, {"method": {"ramp": 0.0, "pseudo": pseudo}})
        )
        batch = trainer.loader.batch_at(0)
        batch["graded"].mask.copy_(batch["labelled"].mask)
        metrics.append(list(trainer.method.train_step(batch, 0))[-1].metrics)
    assert metrics[0]["loss_unsupervised"] == metrics[1]["loss_unsupervised"] and metrics[0]["kept"] == 1


def test_graded_images_that_all_have_masks_are_refused(corpus: str, tmp_path: Path) -> None:
    changes = {"corpus": {"budget": {"share": 1.0}}}
    with pytest.raises(ConfigError, match=r"every graded image has a mask.*lower corpus\.budget\.share"):
        build(tiny_run(corpus, "collaborative", tmp_path, changes))
    build(tiny_run(corpus, "collaborative", tmp_path, {**changes, "method": {"weight": 0.0}}))


def test_agreement_is_that_of_a_network_whose_lesions_weigh_one() -> None:
    logits, weights = torch.randn(2, L, 4, 4), torch.tensor([1.0, 5.0, 50.0])
    expected = (logits - weights.log()[:, None, None]).sigmoid()
    assert torch.allclose(unweighted(logits.sigmoid(), weights), expected, atol=1e-6)


def attend_everywhere(grader: GraderNetwork, height: float) -> None:
    """Let it attend to all lesions alike, at all places: `height` is the attention's logit."""
    for attention in grader.attend:
        assert isinstance(attention, Attention) and attention.height.bias is not None
        attention.height.weight.data.zero_()
        attention.height.bias.data.fill_(height)


def test_how_much_attention_there_is_reaches_the_grade(corpus: str, tmp_path: Path) -> None:
    """A mean weighted by even attention does not depend on its height: it would stay high without lesions."""
    grader = build(tiny_run(corpus, "collaborative", tmp_path)).method.networks["grader"].eval()
    assert isinstance(grader, GraderNetwork)
    images, masks = torch.randn(2, 3, 32, 32), torch.zeros(2, 4, 32, 32)
    answers = []
    for height in (-4.0, 4.0):
        attend_everywhere(grader, height)
        answers.append(grader(images, masks)[0])
    assert (answers[0] - answers[1]).abs().min() > 1e-4


def test_the_judge_sees_equal_masks_alike_whether_true_or_predicted(corpus: str, tmp_path: Path) -> None:
    trainer = build(tiny_run(corpus, "lesions", tmp_path))
    assert isinstance(trainer.method, Lesions) and trainer.method.adversary is not None
    images = trainer.loader.batch_at(0)["labelled"]
    truth = targets(images.mask, 4)
    seen: list[torch.Tensor] = []
    trainer.method.networks["discriminator"].register_forward_pre_hook(
        lambda discriminator, inputs: seen.append(inputs[0])
    )
    trainer.method.adversary.discriminator_update([MaskPair(images, (truth == 1).float(), truth)], 0)
    (shown,) = seen
    true, predicted = shown.chunk(2)
    assert torch.equal(true, predicted) and not torch.equal(true[:, 3:], (truth == 1).float())


def test_loss_equals_the_sums_pixel_by_pixel() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, L, 5, 6, generator=generator, dtype=torch.float64)
    mask = torch.randint(0, 2**L, (2, 5, 6), generator=generator)
    mask[1, 2:] = IGNORE
    weights = torch.tensor([1.0, 3.0, 20.0])
    entropy, overlap, size, count = 0.0, np.zeros(L), np.zeros(L), 0
    for b, y, x in np.ndindex(2, 5, 6):
        if mask[b, y, x] == IGNORE:
            continue
        for k in range(L):
            q, t = float(logits[b, k, y, x].sigmoid()), int(mask[b, y, x]) >> k & 1
            entropy -= float(weights[k]) * t * np.log(q) + (1 - t) * np.log(1 - q)
            overlap[k], size[k], count = overlap[k] + q * t, size[k] + q * q + t, count + 1
    dice = 1 - ((2 * overlap + 1e-5) / (size + 1e-5)).mean()
    assert lesion_loss(logits, targets(mask, L), weights, 0.5).item() == pytest.approx(
        entropy / count + 0.5 * dice, rel=1e-9
    )


def test_nothing_known_is_a_loss_without_gradient() -> None:
    logits = torch.randn(1, L, 4, 4, requires_grad=True)
    lesion_loss(logits, torch.full((1, L, 4, 4), IGNORE), torch.ones(L), 0.0).backward()
    assert logits.grad is not None and not logits.grad.any()


def test_rare_lesions_weigh_more(corpus: str, tmp_path: Path) -> None:
    trainer = build(tiny_run(corpus, "lesions-alone", tmp_path))
    assert isinstance(trainer.method, Lesions)
    masks = torch.cat([part.mask for part in trainer.loader.plain("labelled")])
    share = torch.stack([(masks >> k & 1).double().mean() for k in range(4)])
    assert trainer.method.weights.tolist() == pytest.approx(
        ((1 - share) / share).clamp(1, 50).tolist(), rel=1e-5
    )
    assert rarity(iter(()), L, torch.device("cpu")).tolist() == [1, 1, 1]


def test_masks_keep_lesions_that_overlap(corpus: str) -> None:
    data = TrainingSet(CorpusConfig(path=corpus, size=48), bits=True)
    names = [name for name in data.train if bin(int(data.corpus.read(name).bits.max())).count("1")]  # type: ignore[union-attr]
    for name in names[:5]:
        np.testing.assert_array_equal(data.get(name).mask, data.corpus.read(name).bits)  # type: ignore[arg-type]
    both = next(mask for name in names if ((mask := data.get(name).mask) & (mask - 1)).any())  # type: ignore[operator]
    planes = targets(torch.from_numpy(np.array(both)).long()[None], 4)
    assert (planes.sum(1) > 1).any()


def test_class_ids_become_bits_only_when_told(corpus: str) -> None:
    assert BITS[[0, 1, 2, 7, IGNORE]].tolist() == [0, 1, 2, 64, IGNORE]
    ids = TrainingSet(CorpusConfig(path=corpus))
    ids.corpus.info.encoding = "ids"
    with pytest.raises(CorpusError, match=r"holds one class a pixel.*--bits.*corpus\.disjoint=true"):
        require_bits(ids.corpus.info, disjoint=False)
    require_bits(ids.corpus.info, disjoint=True)


def test_what_the_truth_leaves_open_is_hidden_from_the_judge(corpus: str, tmp_path: Path) -> None:
    trainer = build(tiny_run(corpus, "lesions", tmp_path))
    assert isinstance(trainer.method, Lesions) and isinstance(trainer.method.adversary, Adversary)
    images = trainer.loader.batch_at(0)["labelled"]
    truth = targets(images.mask, 4)
    truth[:, :, :8] = IGNORE
    seen = [
        MaskPair(images, masks, truth).shown(masks)
        for masks in (torch.rand(truth.shape), torch.ones(truth.shape))
    ]
    assert all(not pairs[:, 3:, :8].any() for pairs in seen)


def test_a_model_without_the_wanted_part_is_named(corpus: str, tmp_path: Path) -> None:
    alone = train(tiny_run(corpus, "lesions-alone", tmp_path))
    with pytest.raises(ConfigError, match=r"models\.segmenter: holds no discriminator"):
        build(tiny_run(corpus, "collaborative", tmp_path, {"models": {"segmenter": alone.url}}))
    with pytest.raises(ConfigError, match=r"models\.grader: holds no grader"):
        build(tiny_run(corpus, "collaborative", tmp_path, {"models": {"grader": alone.url}}))


def test_a_judge_of_more_levels_than_the_picture_has_is_refused(corpus: str, tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"method\.adversary\.widths: 6 levels halve 32 pixels to nothing; give fewer"
    ):
        tiny_run(corpus, "lesions", tmp_path, {"method": {"adversary": {"widths": [4] * 6}}})


def test_a_label_that_is_not_there_is_named(corpus: str, tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError,
        match=r"method\.grade\.label: the corpus has no image label 'grades'; did you mean 'grade'",
    ):
        build(tiny_run(corpus, "grader", tmp_path, {"method": {"grade": {"label": "grades"}}}))


SEVERE_FIRST = {"ill": ["very severe", "severe", "moderate", "mild"], "well": ["none"]}


def graded(corpus: str, out: Path, healthy: str) -> Trainer:
    """A collaboration on two classes, the healthy one last, from a grader of the same."""
    grade = {"grade": {"label": "grade", "classes": SEVERE_FIRST}}
    grader = train(tiny_run(corpus, "grader", out, {"method": grade}))
    changes = {"method": {**grade, "healthy": healthy, "ramp": 0.0}, "models": {"grader": grader.url}}
    return build(tiny_run(corpus, "collaborative", out, changes))


def test_the_healthy_class_is_the_one_that_is_named(corpus: str, tmp_path: Path) -> None:
    method = graded(corpus, tmp_path, "well").method
    assert isinstance(method, Collaborative) and method.healthy == 1
    with pytest.raises(
        ConfigError, match=r"method\.healthy: image '.*' is graded 'ill' and its mask has a lesion"
    ):
        graded(corpus, tmp_path, "ill")
    with pytest.raises(
        ConfigError, match=r"method\.healthy: the grade has no class 'wel'; did you mean 'well'"
    ):
        graded(corpus, tmp_path, "wel")


def test_a_contradiction_on_another_rank_stops_this_one_too(
    corpus: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rank that met it stopped alone, and the others waited for it until their time was up."""
    monkeypatch.setattr(
        "framework.methods.collaborative.method.gather_objects", lambda mine: [mine, ["elsewhere"]]
    )
    with pytest.raises(ConfigError, match=r"image 'elsewhere' is graded 'none' and its mask has a lesion"):
        build(tiny_run(corpus, "collaborative", tmp_path))


def test_a_grader_that_attends_to_nothing_still_answers(corpus: str, tmp_path: Path) -> None:
    grader = build(tiny_run(corpus, "grader", tmp_path)).method.networks["grader"].eval()
    assert isinstance(grader, GraderNetwork)
    attend_everywhere(grader, -200)
    assert torch.isfinite(grader(torch.randn(1, 3, 32, 32), torch.zeros(1, 4, 32, 32))[0]).all()


def test_a_grader_of_other_classes_is_refused(corpus: str, tmp_path: Path) -> None:
    other = {"grade": {"label": "grade", "classes": dict(reversed(SEVERE_FIRST.items()))}, "healthy": "well"}
    grader = graded(corpus, tmp_path, "well").run.models["grader"]
    with pytest.raises(ConfigError, match=r"models\.grader: has another 'grade'"):
        build(tiny_run(corpus, "collaborative", tmp_path, {"method": other, "models": {"grader": grader}}))


def test_a_segmenter_of_other_lesions_is_refused(corpus: str, tmp_path: Path) -> None:
    model = PretrainedModel(
        {},
        ["background", "haemorrhage", "microaneurysm", "hard exudate", "soft exudate"],
        Lesions.Config(name="lesions"),
    )
    with pytest.raises(
        ConfigError,
        match=r"models\.segmenter: finds haemorrhage, .*; give one of the same lesions in that order",
    ):
        build(tiny_run(corpus, "grader", tmp_path)).method.load_pretrained("segmenter", model)


def test_masks_of_layers_are_no_truth(corpus: str, tmp_path: Path) -> None:
    trainer = build(
        tiny_run(
            corpus, "collaborative", tmp_path, {"corpus": {"layers": ["box"]}, "method": {"weight": 0.0}}
        )
    )
    assert {trainer.data.kinds[name] for name in trainer.loader.samplers["graded"].ids} == {"mask"}


def test_a_judge_without_a_part_in_unmasked_images_sees_none_of_them(corpus: str, tmp_path: Path) -> None:
    seen = {}
    for weight in (0.0, 0.001):
        trainer = build(
            tiny_run(
                corpus, "collaborative", tmp_path, {"method": {"adversary": {"weight_unmasked": weight}}}
            )
        )
        discriminator, *_ = trainer.method.train_step(trainer.loader.batch_at(0), 0)
        seen[weight] = float(discriminator.loss)
    assert seen[0.0] < seen[0.001]
