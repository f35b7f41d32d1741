"""What an evaluation is by, and which cases it shows."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from framework.core.artifact import ArtifactSpec, finish
from framework.core.errors import CheckpointError
from framework.core.storage import Store
from framework.corpus.reader import Corpus
from framework.evaluation import evaluate as module
from framework.evaluation.evaluate import evaluate


def test_another_split_is_another_evaluation(
    phantom_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, out = Store.at(tmp_path / "model"), Store.at(tmp_path / "scores")
    finish(model, ArtifactSpec("model", {}, {}), {}, 0.0)
    silent = SimpleNamespace(segments=False, targets=())
    card = SimpleNamespace(require_fits=lambda info: None)
    predictor = SimpleNamespace(card=card, method=silent, seconds=0.0, images=0)
    monkeypatch.setattr(module, "Predictor", lambda store: predictor)
    first = evaluate(model, phantom_url, out, "val")
    assert first["split"] == "val" and evaluate(model, phantom_url, out, "val") == first
    with pytest.raises(CheckpointError, match="holds a finished evaluation of another configuration"):
        evaluate(model, phantom_url, out, "test")


def test_the_worst_the_median_and_the_best_cases_are_shown(
    phantom_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus, out = Corpus.open(phantom_url), Store.at(tmp_path)
    monkeypatch.setattr(module, "predicted_mask", lambda corpus, predictor, sample: np.array(sample.mask))
    names = corpus.ids("train")[:10]
    shown: list[Any] = [(i / 10, name, name) for i, name in enumerate(names)] + [(None, "empty", names[0])]
    module._write_pictures(out, corpus, SimpleNamespace(), shown)  # type: ignore[arg-type]
    ranks: dict[str, list[float]] = {}
    for entry in out.read_json("pictures.json"):
        assert out.exists(entry["file"])
        ranks.setdefault(entry["rank"], []).append(entry["dice"])
    assert ranks == {"worst": [0.0, 0.1, 0.2], "median": [0.3, 0.4, 0.5], "best": [0.7, 0.8, 0.9]}
