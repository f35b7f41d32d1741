"""Class activation maps."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from framework.corpus.map_layers import encode_maps
from framework.labelling.cam.evidence import Kind, evidence, log_odds, summed_evidence
from framework.methods.classifier.method import Classified
from framework.networks.encoder import Encoder, EncoderArchitecture, EncoderConfig


class Plain(torch.nn.Module):
    """An image as the only level of a pyramid."""

    def forward(self, image: Tensor) -> list[Tensor]:
        return [image] * 4


class Coarse(torch.nn.Module):
    """Means of cells of 16 pixels as the only level of a pyramid."""

    def forward(self, image: Tensor) -> list[Tensor]:
        return [torch.nn.functional.avg_pool2d(image, 16)] * 4


def plain(weights: list[list[float]], stages: torch.nn.Module | None = None, stride: int = 1) -> Classified:
    """A classifier whose features are the image's own channels, or means of them."""
    encoder = Encoder(stages or Plain(), len(weights[0]), [len(weights[0])] * 4, stride, [])
    network = Classified(encoder, [len(weights)], None)
    head = network.heads[0]
    assert isinstance(head, torch.nn.Linear)
    with torch.no_grad():
        head.weight.copy_(torch.tensor(weights))
        head.bias.zero_()
    return network.eval()


def small(top_down: bool = False) -> Classified:
    torch.manual_seed(0)
    encoder = EncoderArchitecture.build(
        EncoderConfig(name="encoder", widths=[4, 8, 8, 8], output_stride=8), 1, 0
    )
    return Classified(encoder, [2, 3], None, top_down).eval()


def by_loops(features: np.ndarray, slope: np.ndarray) -> np.ndarray:
    """Grad-CAM++ of one image as methods/README 2.3 writes it."""
    maps = np.zeros(features.shape[1:])
    for a, g in zip(features, slope, strict=True):
        weight = 0.0
        for u, v in np.ndindex(*a.shape):
            below = 2 * g[u, v] ** 2 + sum(a[i, j] * g[i, j] ** 3 for i, j in np.ndindex(*a.shape))
            weight += (g[u, v] ** 2 / below if below else 0.0) * max(g[u, v], 0.0)
        maps += weight * a
    return np.maximum(maps, 0)


def test_grad_cam_plus_plus_is_its_formula() -> None:
    torch.manual_seed(1)
    image = torch.rand(1, 3, 4, 5)
    network = plain([[0.3, -0.2, 0.5], [1.0, 0.4, -0.7]])
    slope = torch.tensor([0.7, 0.6, -1.2]).view(3, 1, 1).expand(3, 4, 5) / 20
    expected = by_loops(image[0].double().numpy(), slope.double().numpy())
    assert evidence(network, image, 0, 1, "grad-cam++")[0].numpy() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("number", [0, 1, 2])
def test_the_plain_map_has_the_weights_of_the_linear_layer(number: int) -> None:
    """For more than two classes it was Grad-CAM's, whose weights depend on how sure it is of others."""
    network, image = small(), torch.randn(2, 1, 32, 32)
    weight: Tensor = network.heads[1].weight.detach()  # type: ignore[assignment]
    others = [k for k in range(3) if k != number]
    features = network.encoder(image)[-1].detach()
    expected = torch.einsum("d,bdhw->bhw", weight[number] - weight[others].mean(0), features).relu()
    assert torch.allclose(evidence(network, image, 1, number, "cam"), expected, atol=1e-6)


@pytest.mark.parametrize("top_down", [False, True])
def test_of_two_classes_the_plain_map_is_grad_cam(top_down: bool) -> None:
    network, image = small(top_down), torch.randn(2, 1, 32, 32)
    maps = [evidence(network, image, 0, 1, kind) for kind in ("cam", "grad-cam")]
    assert maps[0].amax() > 0 and torch.allclose(maps[0], maps[1], atol=1e-6)


def test_the_level_of_the_score_does_not_matter() -> None:
    """The authors' own form, with the gradient of exp(S) in the weights, fails this."""
    network, image = small(), torch.randn(2, 1, 32, 32)
    before = [summed_evidence(network, image, 0, k, "grad-cam++", [1.0], False, 8) for k in range(2)]
    head = network.heads[0]
    assert isinstance(head, torch.nn.Linear)
    with torch.no_grad():
        head.bias.add_(torch.tensor([0.0, 5.0]))
    after = [summed_evidence(network, image, 0, k, "grad-cam++", [1.0], False, 8) for k in range(2)]
    assert torch.allclose(torch.stack(before), torch.stack(after), atol=1e-5) and before[0].any()


def test_the_evidence_lies_where_the_sign_is_and_counter_evidence_shows_nothing() -> None:
    image = torch.zeros(1, 2, 32, 32)
    image[0, 0, 4:12, 20:28] = 1  # speaks for class 1
    image[0, 1, 20:28, 4:12] = 1  # against it
    network = plain([[0.0, 1.0], [1.0, 0.0]])
    maps = summed_evidence(network, image, 0, 1, "grad-cam++", [1.0, 0.5, 2.0], True, 32)[0]
    assert maps.max() == pytest.approx(1, abs=1e-5)
    assert maps[6:10, 22:26].min() > 0.9
    assert maps[20:28, 4:12].max() < 0.05 and maps[24:, 14:].max() < 0.05


@pytest.mark.parametrize("scale", [0.5, 0.75, 1.0, 2.0])
def test_the_evidence_stays_in_its_place_when_the_size_is_no_multiple_of_the_stride(scale: float) -> None:
    image = torch.zeros(1, 1, 88, 88)
    image[..., 40:48] = 1  # a strip in the middle
    maps = summed_evidence(
        plain([[0.0], [1.0]], Coarse(), 16), image, 0, 1, "grad-cam++", [scale], False, 88
    )[0].mean(0)
    assert (maps * (torch.arange(88) + 0.5)).sum() / maps.sum() == pytest.approx(44, abs=0.5)


@pytest.mark.parametrize("kind", ["grad-cam++", "grad-cam", "cam"])
def test_every_scale_has_the_same_say(kind: Kind) -> None:
    """In an image of one level, all scales have the same evidence, whatever their number of cells."""
    network, image = plain([[0.0], [1.0]]), torch.ones(1, 1, 32, 32)
    large, small = (evidence(network, image[..., :n, :n], 0, 1, kind).mean() for n in (32, 8))
    assert large == pytest.approx(small.item(), rel=1e-4)


def test_a_mirrored_image_has_the_mirrored_map() -> None:
    network, image = small(), torch.randn(1, 1, 32, 32)
    both = [
        summed_evidence(network, view, 0, 0, "grad-cam", [1.0, 0.5], True, 8)
        for view in (image, image.flip(3))
    ]
    assert torch.allclose(both[0], both[1].flip(2), atol=1e-5)


def test_nothing_that_speaks_for_a_class_is_an_empty_map() -> None:
    maps = summed_evidence(plain([[1.0], [-1.0]]), torch.ones(1, 1, 8, 8), 0, 1, "grad-cam++", [1.0], True, 8)
    assert not maps.any()


def test_an_image_alone_has_the_map_it_has_among_others() -> None:
    network, images = small(), torch.randn(3, 1, 32, 32)
    together = evidence(network, images, 0, 1, "grad-cam++")
    assert torch.allclose(together[1:2], evidence(network, images[1:2], 0, 1, "grad-cam++"), atol=1e-6)


def test_log_odds() -> None:
    logits = torch.randn(4, 3)
    p = logits.softmax(1)[:, 2]
    assert torch.allclose(log_odds(logits, 2), (p / (1 - p)).log(), atol=1e-5)
    assert torch.allclose(log_odds(logits[:, :2], 1), logits[:, 1] - logits[:, 0])


def test_maps_are_stored_to_a_255th() -> None:
    assert encode_maps({}) == {"classes": [], "maps": None}
    assert encode_maps({2: np.zeros((3, 4), np.float32)})["classes"] == [2]
