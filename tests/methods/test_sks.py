"""SKS: what must hold of its skips (methods/README 3.9)."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from framework.core.errors import ConfigError
from framework.core.storage import Store
from framework.methods.sks.method import SKS
from framework.methods.sks.network import Prompted, Share
from framework.networks.encoder import TopDownPathway
from framework.training.checkpoint import read_tensors
from framework.training.run import train
from tests.contract.support import build, build_phantom, tiny_run, trained


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> str:
    return build_phantom(tmp_path_factory.mktemp("sks") / "corpus")


@pytest.fixture
def made(corpus: str, tmp_path: Path) -> Callable[..., SKS]:
    def make(**switches: Any) -> SKS:
        run = tiny_run(corpus, "sks", tmp_path)
        config = run.method.model_copy(update=switches)
        method = build(
            run.model_copy(
                update={"method": config, "models": run.models if SKS.required_models(config) else {}}
            )
        ).method
        assert isinstance(method, SKS)
        return method.eval()

    return make


def network(method: SKS) -> Prompted:
    module = method.networks["network"]
    assert isinstance(module, Prompted)
    return module


IMAGE = torch.randn(2, 3, 40, 36, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("fss", "rcs", "cross"), itertools.product((False, True), repeat=3))
@torch.no_grad()
def test_at_first_the_prompt_changes_nothing(
    made: Callable[..., SKS], fss: bool, rcs: bool, cross: bool
) -> None:
    prompted, alone = made(fss=fss, rcs=rcs, cross=cross), made(fss=False, rcs=rcs, cross=False)
    for parameter in prompted.frozen.parameters():
        parameter.normal_()  # any classifier
    (logits,) = network(prompted)(IMAGE, *prompted._prompt(IMAGE))
    (expected,) = network(alone)(IMAGE)
    # a convolution of more channels may sum in another order; without it they are equal bit for bit
    torch.testing.assert_close(logits, expected, rtol=0, atol=1e-5 if cross else 0)


def test_a_prompt_that_is_silent_at_first_learns_to_speak(made: Callable[..., SKS]) -> None:
    method = made()
    module = network(method)
    quarters = [
        width // 4 for width in module.encoder.widths[-2::-1]
    ]  # the decoder goes from the lowest level up
    for step in range(2):
        module.zero_grad()
        (logits,) = module(IMAGE, *method._prompt(IMAGE))
        torch.nn.functional.cross_entropy(logits, logits.detach().argmin(1)).backward()
        assert module.share is not None and module.decoder.prompts is not None
        spoken = [*module.share.parameters(), *module.decoder.prompts.parameters()]
        assert all(parameter.grad is not None and parameter.grad.any() for parameter in spoken)
        blocks: list[Any] = list(module.decoder.up)
        columns = [block[0][0].weight.grad[:, -n:] for block, n in zip(blocks, quarters, strict=True)]
        assert all(column.any() == bool(step) for column in columns)  # they wait one step for what they read
        torch.optim.SGD(module.parameters(), 0.1).step()


@torch.no_grad()
def test_later_it_does(made: Callable[..., SKS]) -> None:
    method = made()
    before = method.predict(IMAGE)["network 1"]
    share = network(method).share
    assert share is not None
    for part in share.parameters():
        part.normal_()
    assert not torch.allclose(method.predict(IMAGE)["network 1"], before)


def test_sharing_features_works_place_by_place() -> None:
    share = Share(3)
    torch.nn.init.normal_(share.mix.weight)
    prompt, features = torch.randn(2, 1, 3, 4, 4)
    order = torch.randperm(16)

    def moved(x: torch.Tensor) -> torch.Tensor:
        return x.flatten(2)[..., order].view_as(x)

    assert torch.allclose(share(moved(prompt), moved(features)), moved(share(prompt, features)), atol=1e-6)


def test_a_skip_that_is_off_takes_its_parameters_away_and_all_else_runs(made: Callable[..., SKS]) -> None:
    def count(method: SKS) -> int:
        return sum(p.numel() for p in method.networks.parameters())

    widths = network(made()).encoder.widths
    whole = count(made())
    assert whole - count(made(fss=False)) == sum(2 * w * w + w for w in widths)
    quarters = [w // 4 for w in widths[:-1]]
    assert whole - count(made(cross=False)) == sum(
        w * q + q + 9 * q * w for w, q in zip(widths, quarters, strict=False)
    )
    for switches in (
        {"rcs": False},
        {"fss": False},
        {"cross": False},
        {"rcs": False, "fss": False, "cross": False},
    ):
        assert made(**switches).predict(IMAGE)["network 1"].shape == (2, 5, 40, 36)


def test_the_classifier_stays_as_it_was_and_the_segmenter_may_start_from_it(
    corpus: str, tmp_path: Path
) -> None:
    classifier = read_tensors(Store.at(f"{corpus}-classifier"), "model.safetensors")
    trainer = trained(tiny_run(corpus, "sks", tmp_path))
    for name, value in trainer.method.frozen["encoder"].state_dict().items():
        assert torch.equal(value, classifier[f"networks.network.encoder.{name}"])
    assert not trainer.method.frozen.training
    begun = build(
        tiny_run(
            corpus, "sks", tmp_path / "begun", {"method": {"initialise": True, "fss": False, "cross": False}}
        )
    ).method
    assert isinstance(begun, SKS) and not len(begun.frozen)
    for name, value in network(begun).encoder.state_dict().items():
        assert torch.equal(value, classifier[f"networks.network.encoder.{name}"])


@pytest.fixture(scope="module")
def deep(corpus: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A classifier with a top-down pathway."""
    run = tiny_run(corpus, "classifier", tmp_path_factory.mktemp("deep"), {"method": {"fpn": True}})
    return train(run).url


def test_with_a_way_down_the_lowest_level_prompts_at_every_resolution(
    corpus: str, deep: str, tmp_path: Path
) -> None:
    run = tiny_run(corpus, "sks", tmp_path, {"method": {"fpn": True}, "models": {"classifier": deep}})
    method = trained(run).method
    assert isinstance(method, SKS)
    prompter, known = method.frozen["encoder"], read_tensors(Store.at(deep), "model.safetensors")
    assert {f"networks.network.encoder.{name}" for name in prompter.state_dict()} == {
        n for n in known if ".encoder." in n
    }
    assert all(
        torch.equal(value, known[f"networks.network.encoder.{name}"])
        for name, value in prompter.state_dict().items()
    )
    image = IMAGE.to(next(prompter.parameters()).dtype)
    before = method._prompt(image)
    assert isinstance(prompter, TopDownPathway)
    torch.nn.init.ones_(prompter.down[-1].weight)  # type: ignore[arg-type]
    assert [torch.equal(a, b) for a, b in zip(before, method._prompt(image), strict=True)] == [
        False,
        False,
        False,
        True,
    ]


def test_a_classifier_with_a_way_down_may_be_started_from_and_prompts_none_without(
    corpus: str, deep: str, tmp_path: Path
) -> None:
    begun = {"method": {"fss": False, "cross": False, "initialise": True}, "models": {"classifier": deep}}
    method, known = (
        build(tiny_run(corpus, "sks", tmp_path, begun)).method,
        read_tensors(Store.at(deep), "model.safetensors"),
    )
    assert isinstance(method, SKS)
    for name, value in network(method).encoder.state_dict().items():
        assert torch.equal(value, known[f"networks.network.encoder.encoder.{name}"])
    with pytest.raises(ConfigError, match=r"has a top-down pathway; set method\.fpn=true"):
        build(tiny_run(corpus, "sks", tmp_path, {"models": {"classifier": deep}}))
    with pytest.raises(ConfigError, match=r"has no top-down pathway; set method\.fpn=false"):
        build(tiny_run(corpus, "sks", tmp_path, {"method": {"fpn": True}}))
