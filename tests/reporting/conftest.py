from __future__ import annotations

import pytest

from framework.core.storage import Store
from tests.reporting.support import CORPUS, artifact, evaluation, model


@pytest.fixture
def run(tmp_path) -> Store:
    """Two rounds: a Co-DA model, its pseudo-labels, a model trained on them, and an evaluation of each."""
    root = tmp_path / "run"
    model(root, "round-1", "m1", aligned=True)
    classes = {"background": {"predicted": 1000, "kept": 900}, "disc <b>": {"predicted": 50, "kept": 0}}
    counts = {"rows": 1180, "quarantined": 3, "classes": classes}
    layer = artifact(
        root, "layer", "pseudo", "l1", {"model": ("run/round-1", "m1"), "corpus": CORPUS}, counts
    )
    quality = {
        "background": {"kept_share": 0.9, "accuracy": 0.97, "pixels": 10},
        "ring": {"kept_share": 0, "accuracy": None, "pixels": 4},
    }
    layer.write_json("quality.json", {"classes": quality})
    model(root, "round-2", "m2", {"layer pseudo": ("layers/pseudo", "l1")}, pseudo=1180)
    evaluation(root, "test-1", "e1", ("run/round-1", "m1"))
    evaluation(root, "test-2", "e2", ("run/round-2", "m2"))
    return Store.at(root)
