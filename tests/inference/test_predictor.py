"""A finished model as a predictor of pictures of any size."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from framework.inference.predictor import Predictor, at_own_size
from framework.training.run import train
from tests.contract.support import tiny_run


@pytest.fixture(scope="module")
def predictor(phantom_url: str, tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    changes = {"train": {"steps": 2}, "network": {"dropout": 0.5}}
    return Predictor(train(tiny_run(phantom_url, "supervised", tmp_path_factory.mktemp("model"), changes)))


def pictures(count: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 200, (count, 3, 32, 32), np.uint8)


def test_a_picture_is_predicted_alike_whatever_is_beside_it(predictor: Predictor) -> None:
    together, alone = predictor.probabilities(pictures()), predictor.probabilities(pictures()[:1])
    torch.testing.assert_close(together["network 1"][:1], alone["network 1"])


def test_brightness_and_contrast_of_a_picture_do_not_matter(predictor: Predictor) -> None:
    dark = pictures() // 2 * 2
    same, other = (predictor.probabilities(each)["network 1"] for each in (dark, dark // 2 + 40))
    torch.testing.assert_close(same, other, atol=1e-4, rtol=1e-3)


def test_probabilities_have_the_height_and_width_of_the_picture(predictor: Predictor) -> None:
    images = [np.zeros((20, 36, 3), np.uint8), np.zeros((40, 24, 3), np.uint8)]
    shapes = [tuple(each["network 1"].shape[1:]) for each in predictor.at_own_sizes(images)]
    assert shapes == [(20, 36), (40, 24)] and predictor.images == 2
    halves = torch.tensor([[[0.0, 0.0], [1.0, 1.0]]])
    assert torch.equal(at_own_size(halves, (4, 2))[0, :, 0], torch.tensor([0, 0.25, 0.75, 1]))


@pytest.mark.parametrize(
    ("multilabel", "probability", "expected"),
    [
        (False, [[0.6, 0.1, 0.3], [0.1, 0.8, 0.3], [0.3, 0.1, 0.4]], [[0, 1, 0], [0, 0, 1]]),
        (True, [[0.1, 0.1, 0.7], [0.6, 0.9, 0.3], [0.2, 0.6, 0.1]], [[1, 1, 0], [0, 1, 0]]),
    ],
)
def test_planes_are_of_the_classes_but_the_background(
    multilabel: bool, probability: list[list[float]], expected: list[list[int]]
) -> None:
    """Where a class is the likeliest; where lesions may overlap, it is likelier than not."""
    predictor = SimpleNamespace(method=SimpleNamespace(multilabel=multilabel))
    planes = Predictor.planes(predictor, torch.tensor(probability)[:, None])  # type: ignore[arg-type]
    assert planes[:, 0].astype(int).tolist() == expected
