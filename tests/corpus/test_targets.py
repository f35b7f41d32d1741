"""Image-level labels as classes."""

from __future__ import annotations

import pytest
import torch

from framework.core.errors import ConfigError
from framework.corpus.schema import LabelInfo
from framework.corpus.targets import UNKNOWN, TargetConfig, resolve

LABELS = [
    LabelInfo(name="side", values=["left", "right"]),
    LabelInfo(name="kind", values=["normal", "benign", "malignant"]),
]


def test_values_are_grouped_and_the_rest_is_unknown() -> None:
    config = TargetConfig(label="kind", classes={"present": ["malignant"], "absent": ["normal"]})
    target = resolve("tumour", config, LABELS, "method.targets.tumour")
    assert target.classes == ("present", "absent")
    labels = torch.tensor([[0, 2], [1, 0], [0, 1], [0, -1]])
    assert target.of(labels).tolist() == [0, 1, UNKNOWN, UNKNOWN]


def test_without_classes_every_value_is_one() -> None:
    target = resolve("kind", TargetConfig(label="kind"), LABELS, "method.targets.kind")
    assert target.classes == ("normal", "benign", "malignant")
    assert target.of(torch.tensor([[0, 0], [0, 1], [0, 2], [0, -1]])).tolist() == [0, 1, 2, UNKNOWN]


BAD = {
    "no such label": (
        TargetConfig(label="kinds"),
        r"targets\.t\.label: the corpus has no image label 'kinds'; did you mean 'kind'\?",
    ),
    "no such value": (
        TargetConfig(label="kind", classes={"a": ["normal"], "b": ["benine"]}),
        r"targets\.t\.classes\.b: label 'kind' has no value 'benine'; did you mean 'benign'\?",
    ),
    "one class": (TargetConfig(label="kind", classes={"a": ["normal"]}), "nothing to tell apart"),
    "a value twice": (
        TargetConfig(label="kind", classes={"a": ["normal"], "b": ["normal"]}),
        "value 'normal' is in two classes",
    ),
}


@pytest.mark.parametrize("fault", BAD)
def test_a_description_that_does_not_fit_the_corpus_is_one_clear_line(fault: str) -> None:
    config, message = BAD[fault]
    with pytest.raises(ConfigError, match=message):
        resolve("t", config, LABELS, "method.targets.t")


def test_a_corpus_without_labels_says_so() -> None:
    with pytest.raises(ConfigError, match="no image label 'grade'; it has none"):
        resolve("t", TargetConfig(label="grade"), [], "method.targets.t")
