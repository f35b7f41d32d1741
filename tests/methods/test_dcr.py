"""Invariants of methods/README 5.10, reductions to CPS and naive mixing, and wrong masks that must sink."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from framework.core.errors import CorpusError
from framework.core.labels import IGNORE
from framework.core.storage import Store
from framework.corpus.writer import pack
from framework.experiments.pipeline.config import PhantomConfig
from framework.experiments.pipeline.run import phantom_source
from framework.labelling.job import make
from framework.labelling.weak.config import Box
from framework.labelling.weak.simulate import SimulateWeak
from framework.loading.loader import StreamBatch
from framework.methods.common.losses import image_cross_entropy, partial_cross_entropy, supervised_loss
from framework.methods.cps import CPS
from framework.methods.dcr import method as dcr_module
from framework.methods.dcr.indicators import IndicatorConfig, Indicators
from framework.methods.dcr.influence import SCOPES
from framework.methods.dcr.method import DCR
from framework.methods.mixing import Mixing
from framework.networks.registry import build_network
from framework.networks.unet import UNetConfig
from tests.contract.support import build, tiny_run, trained
from tests.contract.volumes import build_volumes
from tests.methods.support import convolutions

K = 3


def stream(*ids: str, claims: bool = True) -> StreamBatch:
    torch.manual_seed(sum(map(ord, "".join(ids))))
    mask = torch.randint(0, K, (len(ids), 8, 8))
    return StreamBatch(
        list(ids), torch.randn(len(ids), 1, 8, 8), (), mask if claims else torch.full_like(mask, IGNORE)
    )


def loss_of(method: nn.Module, batch: dict[str, StreamBatch]) -> Tensor:
    (update,) = method.train_step(batch, 0)  # type: ignore[operator]
    return update.loss


def unet(classes: int = K) -> nn.Module:
    return build_network(UNetConfig(widths=[4, 8]), 1, classes, 0, 0).double().eval()


@pytest.mark.parametrize("scope", list(SCOPES))
def test_influences_are_inner_products_with_each_images_own_gradient(scope: str) -> None:
    torch.manual_seed(0)
    network, image, mask = unet(), torch.randn(4, 1, 17, 19).double(), torch.randint(0, K, (4, 17, 19))
    mask[0, :5] = mask[1] = IGNORE
    direction = torch.randn(SCOPES[scope].size(network)).double()
    influences = SCOPES[scope].influence(network, image, mask, direction)
    parameters = list(network.parameters()) if scope == "all" else [_last(network).weight]
    for i in range(4):
        loss = image_cross_entropy(network(image[i : i + 1]), mask[i : i + 1]).sum()
        gradient = torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)
        assert influences[i] == pytest.approx(
            float(torch.cat([g.flatten() for g in gradient]) @ direction), abs=1e-12
        )
    assert influences[1] == 0


@pytest.mark.parametrize("scope", list(SCOPES))
def test_the_strong_gradient_is_that_of_the_loss_that_training_lowers_over_all_strong_images(
    scope: str,
) -> None:
    """That of cross-entropy alone, without soft Dice, could not tell wrong masks from true ones on ACDC."""
    torch.manual_seed(0)
    network, image, mask = unet(), torch.randn(5, 1, 16, 16).double(), torch.randint(0, K, (5, 16, 16))
    mask[3] = 0  # a batch of its own would have no other class
    mask[0, :9] = IGNORE
    dii = indicators(network, ["w"], scope=scope)
    parts = [StreamBatch([], image[cut], (), mask[cut]) for cut in (slice(0, 3), slice(3, 5))]
    gradient = dii.strong_gradient(deepcopy(network).requires_grad_(False), lambda name: iter(parts))
    parameters = list(network.parameters()) if scope == "all" else [_last(network).weight]
    whole = torch.autograd.grad(
        supervised_loss(network(image), mask), parameters, allow_unused=True, materialize_grads=True
    )
    assert torch.allclose(gradient, torch.cat([part.flatten() for part in whole]))


def _last(network: nn.Module) -> nn.Conv2d:
    return [m for m in network.modules() if isinstance(m, nn.Conv2d)][-1]


def indicators(network: nn.Module, ids: list[str], **changes: Any) -> Indicators:
    dii = Indicators(
        IndicatorConfig(start=1, interval=1, initial=0.5, **changes), 100, _last(network).out_channels
    )
    dii.prepare(ids, network)
    return dii.double()


def test_a_copy_of_a_strong_image_rises_and_one_with_swapped_labels_falls() -> None:
    torch.manual_seed(0)
    network, image = unet(classes=2), torch.randn(1, 1, 16, 16).double()
    mask = (image[:, 0] > 0).long()
    dii = indicators(network, ["right", "wrong", "silent"])
    masks = torch.cat([mask, 1 - mask, torch.full_like(mask, IGNORE)])

    def read(name: str) -> Iterator[StreamBatch]:
        if name == "labelled":
            yield StreamBatch(["s"], image, (), mask)
        else:
            yield StreamBatch(["right", "wrong", "silent"], image.expand(3, -1, -1, -1), (), masks)

    before = {name: value.clone() for name, value in network.state_dict().items()}
    state = torch.random.get_rng_state()
    dii.update(0, network.train(), read)
    right, wrong, silent = dii.value
    assert right > 0.5 > wrong and silent == (right + wrong) / 2
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert network.training and torch.equal(torch.random.get_rng_state(), state)
    for step in range(1, 40):
        dii.update(step, network, read)
    assert dii.value.tolist() == [1, 0, 0.5] and not dii.value.requires_grad
    assert dii.sample_weights(["silent", "wrong"]).tolist() == [1, 0]


def test_weight_moves_between_the_weak_masks_and_none_is_taken_away() -> None:
    """With the indicators themselves as weights, DII took up to half of the weight of correct scribbles."""
    dii = indicators(unet(), ["a", "b", "c", "d"])
    dii.value = torch.tensor([1.0, 0.5, 0.5, 0.0])
    assert (
        dii.sample_weights(["d", "a", "b"]).tolist() == [0, 2, 1]
        and dii.sample_weights(list("abcd")).mean() == 1
    )
    dii.value = torch.zeros(4)
    assert dii.sample_weights(["a"]) == 0
    dii.value[0] = 1e-3
    assert dii.sample_weights(["a"]) == pytest.approx(0.01)  # and not 4: one mask would teach as much as all


def test_a_mask_of_little_influence_moves_little(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a scale for each, an influence of -0.001 moved its indicator as far as one of -0.5."""
    dii = indicators(unet(), ["wrong", "noise", "right"], lr=0.1)
    influence = torch.tensor([-0.5, -0.001, 0.5]).double()
    monkeypatch.setattr(Indicators, "_influences", lambda *given: influence)
    dii.update(0, unet(), lambda name: iter([_double(stream("s"))]))
    moved = dii.value - 0.5
    assert torch.allclose(moved / moved[2], influence / 0.5)
    assert moved.square().mean().sqrt() == pytest.approx(0.1)  # the rate is that of a typical influence


def test_masks_without_any_claim_change_nothing_for_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """They lowered the typical influence: others moved too far, and these kept the weight that those lost."""
    pairs = []
    for silent in (0, 6):
        dii = indicators(unet(), [str(i) for i in range(2 + silent)], lr=0.1)
        influence = torch.tensor([0.5, -0.1] + [0.0] * silent).double()
        monkeypatch.setattr(Indicators, "_influences", lambda *given, influence=influence: influence)
        dii.update(0, unet(), lambda name: iter([_double(stream("s"))]))
        pairs.append(dii.sample_weights(["0", "1"]))
        assert torch.allclose(
            dii.sample_weights([str(i) for i in range(2, 2 + silent)]), torch.ones(silent).double()
        )
    assert torch.allclose(pairs[0], pairs[1])


def test_updates_come_at_their_start_and_interval_only() -> None:
    """The paper's algorithm lost the "not" in front of its interval, and public code skips a worker (7.3)."""
    network = unet()
    dii = indicators(network, ["w"])
    dii.config = IndicatorConfig(start=4, interval=3)
    seen = []
    for step in range(12):
        before = float(dii.updates)
        dii.update(step, network, lambda name: iter([_double(stream("w"))]))
        if dii.updates > before:
            seen.append(step + 1)
    assert seen == [4, 7, 10]


def _double(part: StreamBatch) -> StreamBatch:
    return StreamBatch(part.ids, part.image.double(), (), part.mask)


@pytest.mark.parametrize("decay", [0.0, 0.75])
def test_the_average_of_network_1_judges(decay: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between steps the network wanders too far from an optimum for implicit differentiation to hold."""
    dcr = DCR(DCR.Config(name="dcr", indicators=IndicatorConfig(decay=decay)), convolutions(K))
    judges: list[float] = []
    monkeypatch.setattr(
        Indicators,
        "update",
        lambda self, step, network, read: judges.append(float(_last(network).weight.mean())),
    )
    weights = [float(i) for i in range(1, 7)]
    for step, weight in enumerate(weights):
        torch.nn.init.constant_(_last(dcr.first).weight, weight)
        dcr.after_step(step, lambda stream: iter(()))
    average = weights[0]
    for step, weight in enumerate(weights):
        kept = min(1 - 1 / (step + 1), decay)
        average = kept * average + (1 - kept) * weight
        assert judges[step] == pytest.approx(average)


def test_without_weak_masks_and_mixing_dcr_is_cps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        dcr_module, "boxes", lambda ids, shape, *rest: torch.ones(len(ids), *shape, dtype=torch.bool)
    )
    strong, weak = stream("a", "b"), stream("c", "d", claims=False)
    dcr = DCR(DCR.Config(name="dcr", weight=0.5), convolutions(K))
    cps = CPS(CPS.Config(name="cps", weight=0.5, ramp=0.0), convolutions(K))
    unlabelled = replace(weak, strong=(weak.image,))
    assert torch.allclose(
        loss_of(dcr, {"labelled": strong, "weak": weak}),
        loss_of(cps, {"labelled": strong, "unlabelled": unlabelled}),
    )


def test_without_co_regularisation_one_network_of_dcr_is_naive_mixing_and_no_trust_is_strong_only() -> None:
    batch = {"labelled": stream("a", "b"), "weak": stream("c", "d")}
    dcr = DCR(DCR.Config(name="dcr", weight=0.0, indicators=IndicatorConfig()), convolutions(K))
    dcr.prepare({"weak": ["c", "d"]}, lambda stream: iter(()))
    dcr.networks["pair"].second.load_state_dict(dcr.first.state_dict())  # type: ignore[union-attr]
    mixing = Mixing(Mixing.Config(name="mixing"), convolutions(K))
    assert torch.allclose(loss_of(dcr, batch), 2 * loss_of(mixing, batch))
    assert dcr.indicators is not None
    dcr.indicators.value.zero_()
    without = Mixing(Mixing.Config(name="mixing", weight=0.0), convolutions(K))
    assert torch.allclose(loss_of(dcr, batch), 2 * loss_of(without, batch))


def test_the_weak_masks_of_dcr_have_a_weight_as_those_of_mixing() -> None:
    batch = {"labelled": stream("a", "b"), "weak": stream("c", "d")}
    dcr = DCR(DCR.Config(name="dcr", weight=0.0, weak=0.3), convolutions(K))
    dcr.networks["pair"].second.load_state_dict(dcr.first.state_dict())  # type: ignore[union-attr]
    mixing = Mixing(Mixing.Config(name="mixing", weight=0.3), convolutions(K))
    assert torch.allclose(loss_of(dcr, batch), 2 * loss_of(mixing, batch))


def test_distrust_halves_the_lessons_on_mixed_images() -> None:
    """The weight of a mixed pixel is the mean of its images', (1 + w) / 2; it was 1, cast to bool."""
    batch = {"labelled": stream("a", "b"), "weak": stream("c", "d")}
    dcr = DCR(DCR.Config(name="dcr", indicators=IndicatorConfig()), convolutions(K))
    dcr.prepare({"weak": ["c", "d"]}, lambda stream: iter(()))
    (trusting,) = dcr.train_step(batch, 0)
    assert dcr.indicators is not None
    dcr.indicators.value.zero_()
    (distrusting,) = dcr.train_step(batch, 0)
    dcr.indicators.value[0] = 0.5  # the second image has weight 0, the first 2
    (first,) = dcr.train_step(batch, 0)
    dcr.indicators.value.copy_(torch.tensor([0.0, 0.5]))
    (second,) = dcr.train_step(batch, 0)
    whole, half, *one = (
        float(update.metrics["loss_unsupervised"]) for update in (trusting, distrusting, first, second)
    )
    assert half == pytest.approx(whole / 2) and half < min(one) and sum(one) == pytest.approx(2 * whole)


def test_partial_entropy_counts_claimed_pixels_only() -> None:
    torch.manual_seed(0)
    logits, mask = torch.randn(2, K, 4, 4), torch.full((2, 4, 4), IGNORE)
    mask[0, 0, 0], mask[1, 1, 1] = 1, 2
    expected = -(logits.log_softmax(1)[0, 1, 0, 0] + logits.log_softmax(1)[1, 2, 1, 1]) / 2
    assert torch.allclose(partial_cross_entropy(logits, mask), expected)
    assert partial_cross_entropy(logits, torch.full_like(mask, IGNORE)) == 0


LACKING = {
    "no weak layer": (
        {"corpus": {"layers": []}},
        "needs weak training images .*; name a layer of weak masks in corpus.layers",
    ),
    "all strong": (
        {"corpus": {"budget": {"share": 1}}},
        r"needs weak training images .* leave corpus\.budget\.share under 1",
    ),
    "all weak": (
        {"corpus": {"budget": {"share": 0}}},
        r"needs labelled training images .* raise corpus\.budget\.share",
    ),
}


@pytest.mark.parametrize("method", ["mixing", "dcr"])
@pytest.mark.parametrize("fault", LACKING)
def test_a_corpus_without_strong_or_weak_masks_is_named(
    fault: str, method: str, tmp_path: Path, hybrid_corpus: str
) -> None:
    changes, message = LACKING[fault]
    with pytest.raises(CorpusError, match=message):
        build(tiny_run(hybrid_corpus, method, tmp_path, changes))


@pytest.fixture(scope="module")
def hybrid_corpus(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Forty phantoms and a layer of their boxes."""
    folder = tmp_path_factory.mktemp("hybrid") / "corpus"
    pack(phantom_source(PhantomConfig(images=40, size=48), "hybrid"), Store.at(folder))
    make(SimulateWeak, Box(), str(folder), "box")
    return str(folder)


def test_ten_swapped_masks_are_among_the_least_trusted(tmp_path: Path, write_layer) -> None:  # type: ignore[no-untyped-def]
    from framework.corpus.reader import Corpus

    url = build_volumes(tmp_path / "corpus", patients=20)
    corpus = Corpus.open(url)
    names = corpus.ids("train")
    masks = {name: corpus.read(name).mask for name in names}
    planted = sorted(names)[:: len(names) // 10][:10]
    swapped = dict(zip(planted, [masks[name] for name in planted[1:] + planted[:1]], strict=True))
    layer = write_layer(tmp_path / "layer", url, {**masks, **swapped}, "noisy")
    changes = {
        "corpus": {"layers": [layer], "size": 32, "budget": {"share": 0.2}},
        "network": {"widths": [8, 16]},
        "method": {"indicators": {"start": 40, "interval": 20}},
        "train": {"steps": 160, "batch": 8},
    }
    method = trained(tiny_run(url, "dcr-dii", tmp_path, changes)).method
    table = method.tables()["indicators"]
    weight = dict(zip(table["id"], table["weight"], strict=True))
    weak = [name for name in planted if name in weight]
    lowest = sorted(weight, key=weight.__getitem__)[: len(weak)]
    assert len(weak) >= 6
    assert len(set(weak) & set(lowest)) >= 0.8 * len(weak), sorted(weight.values())
