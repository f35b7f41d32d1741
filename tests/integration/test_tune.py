"""A search: real Ray Tune, every trial a real Ray Train run."""

from __future__ import annotations

from pathlib import Path

import pytest

from framework.core.config_files import parse
from framework.core.errors import ResourceError
from framework.core.storage import Store
from framework.corpus.reader import Corpus
from framework.experiments.tune.search import SearchConfig, search
from framework.experiments.tune.trials import Trials
from framework.inference.predictor import Predictor
from tests.contract.support import tiny_run

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_cluster")]


def tiny_search(corpus: str, out: Path, workers: int = 1) -> SearchConfig:
    changes = {"train": {"steps": 4, "validate_every": 2}, "compute": {"workers": workers}}
    value = {
        "name": "s",
        "out": str(out),
        "run": tiny_run(corpus, "coda", out, changes).model_dump(),
        "space": {"corpus.budget.share": {"uniform": [0, 1]}},
        "trials": 2,
        "scheduler": {"grace": 2},
    }
    return parse(value, SearchConfig)


def test_trials_go_on_beside_one_that_fails(phantom_url: str, tmp_path: Path) -> None:
    """Starts from the record of an interrupted search, so that the values of both trials are known."""
    config = tiny_search(phantom_url, tmp_path)
    interrupted = Trials(Store.at(tmp_path / "s"), config.hash())
    for share in (0.001, 0.8):
        interrupted.add({"corpus.budget.share": share})
    interrupted.save()

    said: list[str] = []
    best, failed = search(config, said.append)
    assert (best.name, best.state, best.step) == ("trial-2", "finished", 4)
    assert best.score is not None and 0 < best.score <= 1
    assert (failed.name, failed.state, failed.score) == ("trial-1", "failed", None)
    assert failed.message.startswith("label budget: 0.1%")
    assert [line.split()[0] for line in said[-4:-1]] == ["trial", "trial-2", "trial-1"]
    assert f"scantseg train {tmp_path}/s/trial-2/config.yaml name=s-best" in said[-1]

    trial = Store.at(tmp_path / "s" / "trial-2")
    assert trial.read_json("artifact.json")["kind"] == "model"
    corpus = Corpus.open(phantom_url)
    assert Predictor(trial).segment([corpus.read(corpus.ids("val")[0]).image])["both"][0].shape == (48, 48)


def test_more_workers_than_processors_are_refused_at_once(phantom_url: str, tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match=r"^run\.compute\.workers: 64 x"):
        search(tiny_search(phantom_url, tmp_path, workers=64), print)
