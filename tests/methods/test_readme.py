"""The method that methods/README shows works as it stands there."""

import re
from importlib import import_module
from pathlib import Path

import pytest
import torch

from framework.core.plugins import by_name
from framework.loading.loader import StreamBatch
from framework.methods import base
from tests.methods.support import convolutions


def test_the_method_of_the_readme_takes_a_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = Path(base.__file__).with_name("README.md").read_text()
    (tmp_path / "mine.py").write_text(re.findall(r"```python\n(.*?)```", page, re.DOTALL)[0])
    monkeypatch.syspath_prepend(tmp_path)
    [(name, method)] = by_name([import_module("mine").Mine]).items()
    mine = method(method.Config(name=name), convolutions(3))
    image, mask = torch.randn(2, 1, 8, 8), torch.randint(0, 3, (2, 8, 8))
    (update,) = mine.train_step({"labelled": StreamBatch(["a", "b"], image, (), mask)}, 0)
    update.loss.backward()
    assert name == "mine" and mine.example()["network"] == {"widths": [4, 8]}
    assert mine.predict(image)["network 1"].shape == (2, 3, 8, 8)
