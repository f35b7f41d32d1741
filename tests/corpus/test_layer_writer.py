"""How a layer is made in parts, of which a restart makes the missing ones alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from framework.core.errors import CorpusError, RowError
from framework.core.storage import Store
from framework.corpus import layer_writer
from framework.corpus.layer_writer import LayerWriter, finished_ids, quarantined


class Killed(BaseException):
    """As little as possible can be done about it."""


def test_a_restart_makes_the_missing_rows_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layer_writer, "PART", 2)
    asked: list[str] = []

    def mask(name: str) -> np.ndarray:
        asked.append(name)
        if asked.count("d") and len(asked) == 4:
            raise Killed
        if name == "b":
            raise RowError("no mask")
        return np.full((4, 4), 1, np.uint8)

    layer = LayerWriter(Store.at(tmp_path), list("abcde"), error_budget=0.5)
    with pytest.raises(Killed):
        layer.write_masks("pseudo", mask)
    assert finished_ids(layer.out) == {"a", "b"} and asked == list("abcd")
    assert layer.write_masks("pseudo", mask) == 1
    assert asked == [*"abcd", *"cde"] and quarantined(layer.out) == [{"id": "b", "reason": "no mask"}]
    assert layer.labelled() == (4, 0) and layer.pixels("kept_pixels", 2) == [0, 64]


def test_too_many_unusable_rows_end_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layer_writer, "PART", 2)
    asked: list[str] = []

    def none(name: str) -> np.ndarray:
        asked.append(name)
        raise RowError("no mask")

    with pytest.raises(CorpusError, match=r"2 rows cannot be used, over the error budget of 20.0% of 5"):
        LayerWriter(Store.at(tmp_path), list("abcde"), error_budget=0.2).write_masks("pseudo", none)
    assert asked == ["a", "b"]
