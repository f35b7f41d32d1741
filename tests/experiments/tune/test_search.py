from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from framework.cluster.nodes import Node
from framework.core.config_files import parse
from framework.core.errors import CheckpointError, ConfigError, CorpusError, StorageError
from framework.core.lock import FILE, Claim
from framework.core.storage import Store
from framework.experiments.tune import search as room
from framework.experiments.tune.config import SearchConfig, load_search
from framework.experiments.tune.search import train_command
from framework.experiments.tune.trials import State, Trial, Trials, table
from framework.training.config import TrainConfig

SEARCH = {
    "name": "s",
    "run": {"corpus": {"path": "corpora/none"}, "method": {"name": "coda"}, "train": {"steps": 100}},
    "space": {"method.kappa": {"uniform": [0.5, 1]}},
    "trials": 2,
}


def load(folder: Path, changes: dict | None = None, *assignments: str) -> SearchConfig:
    (folder / "s.yaml").write_text(yaml.safe_dump({**SEARCH, **(changes or {})}))
    return load_search(folder / "s.yaml", assignments)


def test_the_run_of_a_search_is_a_file_or_includes_one_or_is_written_out(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(yaml.safe_dump({**SEARCH["run"], "name": "base"}))
    hashes = {
        load(tmp_path, {"run": run}).hash()
        for run in (
            "r.yaml",
            {"include": ["r.yaml"]},
            SEARCH["run"],
            {"include": ["r.yaml"], "train": {"steps": 100}},
        )
    }
    assert len(hashes) == 1
    assert load(tmp_path, {"run": "r.yaml"}, "run.train.steps=50").run.train.steps == 50


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"trails": 4}, "unknown key 'trails'; did you mean 'trials'?"),
        ({"trials": 0}, "key 'trials' is 0"),
        ({"run": {**SEARCH["run"], "trian": {}}}, "run: unknown key 'trian'; did you mean 'train'?"),
        ({"run": None}, "'run' is a run written out"),
        ({"run": "none.yaml"}, "none.yaml: no such configuration file"),
        ({"space": {}}, "at least one"),
        ({"scheduler": {"grace": 100}}, "scheduler.grace is 100 and a trial has 100 steps"),
        ({"scheduler": {"grace": 10, "reducton": 3}}, "did you mean 'reduction'?"),
        ({"run": {**SEARCH["run"], "compute": {"workers": 0}}}, "run.compute.workers is 0"),
        ({"metric": "loss"}, "key 'metric' is 'loss'"),
    ],
)
def test_a_wrong_description_is_one_line(tmp_path: Path, changes: dict, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, changes)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_more_trials_are_the_same_search_and_another_space_is_not(tmp_path: Path) -> None:
    config = load(tmp_path)
    assert load(tmp_path, {"trials": 9, "concurrent": 1, "name": "t"}).hash() == config.hash()
    assert load(tmp_path, {"seed": 1}).hash() != config.hash()
    assert load(tmp_path, {"space": {"method.kappa": {"uniform": [0.5, 1.1]}}}).hash() != config.hash()


def test_a_corpus_without_validation_masks_is_refused_before_ray_starts_a_trial(tmp_path: Path) -> None:
    from framework.corpus.writer import pack
    from framework.experiments.pipeline.config import PhantomConfig
    from framework.experiments.pipeline.run import phantom_source

    pack(phantom_source(PhantomConfig(images=2, size=32, seed=2), "c"), Store.at(tmp_path / "c"))
    with pytest.raises(CorpusError, match="no validation image has a mask"):
        room._require_validation(str(tmp_path / "c"))


class TestTrials:
    def test_are_recorded_and_ranked(self, tmp_path: Path) -> None:
        trials = Trials(Store.at(tmp_path), "h")
        ends: list[tuple[float | None, State]] = [
            (0.2, "stopped"),
            (None, "failed"),
            (0.7, "finished"),
            (None, "running"),
        ]
        for score, state in ends:
            trial = trials.add({"method.kappa": 0.5})
            trial.score, trial.state = score, state
        trials.save()
        again = Trials.open(Store.at(tmp_path), "h")
        assert again.record == trials.record
        assert [trial.name for trial in again.ranked()] == ["trial-3", "trial-1", "trial-2", "trial-4"]
        assert [trial.name for trial in again.open_ones()] == ["trial-2", "trial-4"]
        assert again["trial-3"].score == 0.7

    def test_of_another_search_are_not_continued(self, tmp_path: Path) -> None:
        Trials(Store.at(tmp_path), "h").save()
        with pytest.raises(CheckpointError, match="another run, space or seed"):
            Trials.open(Store.at(tmp_path), "other")

    def test_the_table_has_a_column_for_each_key(self) -> None:
        lines = table(
            [
                Trial("trial-1", {"a.b": 0.5, "c": [1, 2]}, "finished", 10, 0.25, 3.2),
                Trial("trial-2", {"a.b": 1, "c": "x"}, message="no"),
            ],
            "AUC",
        )
        assert lines[0].split() == ["trial", "a.b", "c", "step", "AUC", "seconds", "state"]
        assert lines[1].split() == ["trial-1", "0.5", "[1,", "2]", "10", "0.2500", "3", "finished"]
        assert lines[2].split() == ["trial-2", "1", "x", "0", "-", "0", "running:", "no"]


def test_the_command_for_the_best_is_one_that_train_takes(tmp_path: Path) -> None:
    from framework.experiments.pipeline.config import load_pipeline

    config = load(tmp_path, {"out": str(tmp_path / "out")})
    place = tmp_path / "out" / "s" / "trial-1"
    place.mkdir(parents=True)
    (place / "config.yaml").write_text(config.run.to_yaml())
    _, verb, path, *assignments = train_command(config, Trial("trial-1", {})).split()
    assert verb == "train"
    run = load_pipeline(path, assignments)
    assert (run.name, run.train.steps) == ("s-best", 100)


@pytest.mark.parametrize(
    ("workers", "wanted", "drivers", "expected"),
    [
        *((1, None, None, 4), (2, None, None, 2), (3, None, None, 1), (1, 2, None, 2), (2, 9, None, 2)),
        (1, None, 3.0, 3),
    ],
)
def test_no_more_trials_at_once_than_workers_have_processors(
    workers: int, wanted: int | None, drivers: float | None, expected: int, tmp_path: Path
) -> None:
    """Those of nodes that the cluster has yet to start among them."""
    from framework.experiments.tune.tuner import at_once

    config = load(tmp_path, {"concurrent": wanted, "run": {**SEARCH["run"], "compute": {"workers": workers}}})
    nodes = [Node({"CPU": 2.0}, {}), Node({"CPU": 2.0}, {}, is_there=False)]
    assert at_once(config, nodes, drivers) == expected


def test_where_nobody_knows_what_nodes_may_come_all_trials_may_run_at_once(tmp_path: Path) -> None:
    from framework.experiments.tune.tuner import at_once

    assert at_once(load(tmp_path, {"trials": 7}), None, None) == 7


def test_the_proposer_hands_out_unfinished_trials_first_and_repeats_nothing(tmp_path: Path) -> None:
    from framework.experiments.tune.tuner import Proposer

    config = load(tmp_path, {"sampler": "tpe"})
    trials = Trials(Store.at(tmp_path), config.hash())
    first = Proposer(config, trials)
    runs = [parse(first.suggest(str(i))["run"], TrainConfig) for i in range(3)]
    assert [run.name for run in runs] == ["trial-1", "trial-2", "trial-3"]
    trials["trial-1"].state, trials["trial-1"].score = "finished", 0.5

    again = Proposer(config, Trials.open(Store.at(tmp_path), config.hash()))
    assert [again.suggest(str(i))["run"]["name"] for i in range(4)][-1] == "trial-4"  # type: ignore[index]
    assert len({trial.values["method.kappa"] for trial in again.trials.record}) == 4


@pytest.mark.parametrize("sampler", ["random", "tpe"])
@pytest.mark.parametrize("interrupted_after", [1, 5, 13])
def test_an_interrupted_search_draws_what_it_would_have_drawn(
    sampler: str, interrupted_after: int, tmp_path: Path
) -> None:
    """Optuna's estimator begins after ten trials; one trial at a time, so that results come in one order."""
    from framework.experiments.tune.tuner import Proposer

    config = load(tmp_path, {"sampler": sampler})

    def drawn(store: Store, times: int) -> list[float]:
        proposer = Proposer(config, Trials.open(store, config.hash()))
        for number in range(times):
            proposer.suggest(str(number))
            trial = proposer.trials.record[-1]
            trial.state, trial.score = "finished", 1 - abs(trial.values["method.kappa"] - 0.7)
            proposer.trials.save()
        return [trial.values["method.kappa"] for trial in proposer.trials.record]

    whole = drawn(Store.at(tmp_path / "whole"), 16)
    drawn(Store.at(tmp_path / "parts"), interrupted_after)
    assert drawn(Store.at(tmp_path / "parts"), 16 - interrupted_after) == whole
    assert len(set(whole)) == 16


def model(**counts: float) -> dict[str, Any]:
    """The record of a finished model."""
    return {"kind": "model", "hash": "h", "inputs": {}, "counts": counts}


@pytest.mark.parametrize(
    ("files", "state", "step", "score"),
    [
        ({}, "stopped", 40, 0.3),
        ({"artifact.json": model(steps=100, best_validation_dice=0.6)}, "finished", 100, 0.6),
        ({"artifact.json": model(steps=100, best_validation_auc=0.7)}, "finished", 100, 0.7),
        ({"failed.json": {"message": "no mask"}}, "failed", 40, 0.3),
    ],
)
def test_how_a_trial_ended_is_read_from_what_it_left(
    files: dict, state: str, step: int, score: float, tmp_path: Path
) -> None:
    from framework.experiments.tune.tuner import _conclude

    for name, value in files.items():
        Store.at(tmp_path).write_json(name, value)
    trial = Trial("trial-1", {}, step=40, score=0.3)
    _conclude(trial, Store.at(tmp_path))
    assert (trial.state, trial.step, trial.score) == (state, step, score)


def test_a_finished_search_is_recognised_without_corpus_or_ray(tmp_path: Path) -> None:
    config = load(tmp_path, {"out": str(tmp_path)})
    finished = Trials(Store.at(tmp_path / "s"), config.hash())
    for score in (0.2, 0.6):
        trial = finished.add({"method.kappa": score})
        trial.state, trial.step, trial.score = "finished", 100, score
    finished.save()
    said: list[str] = []
    assert [trial.name for trial in room.search(config, said.append)] == ["trial-2", "trial-1"]
    assert said[0].startswith("search s is finished")
    assert said[1].split()[0] == "trial"


def test_the_estimator_learns_where_scores_are_high(tmp_path: Path) -> None:
    from framework.experiments.tune.tuner import Proposer

    config = load(tmp_path, {"sampler": "tpe"})
    proposer = Proposer(config, Trials.open(Store.at(tmp_path), config.hash()))
    for number in range(30):
        proposer.suggest(str(number))
        trial = proposer.trials.record[-1]
        trial.state, trial.score = "finished", trial.values["method.kappa"]
    assert sum(trial.values["method.kappa"] for trial in proposer.trials.record[-10:]) / 10 > 0.8


def test_the_score_of_a_trial_is_its_best(tmp_path: Path) -> None:
    from framework.experiments.tune.tuner import Proposer, Recorder

    config = load(tmp_path)
    trials = Trials.open(Store.at(tmp_path), config.hash())
    proposer = Proposer(config, trials)
    tuned = SimpleNamespace(config={"run": proposer.suggest("0")["run"]})
    recorder = Recorder(trials, proposer, lambda line: None)
    for step, score in ((10, 0.2), (20, 0.6), (30, 0.4)):
        recorder.on_trial_result(0, [], tuned, {"step": step, "score": score})
    assert (trials["trial-1"].step, trials["trial-1"].score) == (30, 0.6)


def test_a_search_that_another_attempt_has_taken_over_records_no_more(tmp_path: Path) -> None:
    other = Claim(recipe="r", attempt="theirs", host="b", process=7, started="", job="job-7", number=2)
    Store.at(tmp_path).write_bytes(FILE, other.data)
    with pytest.raises(StorageError, match=r"taken over by process 7 on b .* attempt 2 of job job-7"):
        Trials(Store(str(tmp_path), attempt="mine"), "h").save()
    assert Store.at(tmp_path).names() == [FILE]
