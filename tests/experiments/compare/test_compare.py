"""Two recipes, two seeds, a tiny phantom: the whole course, its trainings in this process to spare their
start."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from threading import Event, Timer

import psutil
import pytest
import yaml

from framework.core.errors import CheckpointError, CorpusError, TrainingError
from framework.core.storage import Store
from framework.experiments.compare import run as course
from framework.experiments.compare.config import Comparison, load_comparison
from framework.experiments.compare.run import compare
from framework.experiments.pipeline.config import PipelineConfig
from framework.reporting.report import write_report
from framework.training.config import TrainConfig
from framework.training.run import train
from tests.contract.support import tiny_run


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The description; its corpus is not there yet."""
    root = tmp_path_factory.mktemp("comparison")
    run = tiny_run(str(root / "corpus"), "supervised", "", {"train": {"validate_every": 3}}).model_dump(
        mode="json"
    )
    (root / "tiny.yaml").write_text(
        yaml.safe_dump({key: run[key] for key in ("corpus", "network", "train", "compute")})
    )
    value = {
        "name": "tiny",
        "out": str(root / "out"),
        "seeds": [0, 1],
        "source": {"phantom": {"images": 80, "size": 48}},
        "recipes": {
            name: {"config": "tiny.yaml", "set": {"method": {"name": name}}} for name in ("supervised", "cps")
        },
        "control": "supervised",
        "target_dice": 0.999,
    }
    (root / "compare.yaml").write_text(yaml.safe_dump(value, sort_keys=False))
    return root / "compare.yaml"


def train_here(run: TrainConfig, stop: Event) -> None:
    train(run)


@pytest.fixture(scope="module")
def said(described: Path) -> list[str]:
    """What the first command said."""
    lines: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(course, "train_apart", train_here)
        compare(load_comparison(described), lines.append)
    return lines


def test_every_recipe_and_seed_is_trained_scored_and_tabled(described: Path, said: list[str]) -> None:
    root = Store.at(described.parent / "out")
    comparison = (root / "tiny-val").read_json("table.json")
    assert [(row["recipe"], row["predictor"]) for row in comparison["rows"]] == [
        ("supervised", "network 1"),
        ("cps", "both"),
        ("cps", "network 1"),
    ]
    assert [step for step, _ in comparison["curves"]["cps"]] == [3, 6]
    for row in comparison["rows"]:
        runs = [(root / f"{row['recipe']}-{seed}-val").read_json("summary.json") for seed in (0, 1)]
        means = [run["predictors"][row["predictor"]]["mean"]["dice"]["mean"] for run in runs]
        assert row["scores"]["dice"]["by_seed"] == pytest.approx(means)
        assert row["target_seconds"] == [None, None]
        assert row["peak_memory_mb"] > 100
    assert any("| cps | both |" in line for line in said)
    artifact = (root / "tiny-val").read_json("artifact.json")
    assert artifact["kind"] == "comparison" and len(artifact["inputs"]) == 4


def test_the_page_is_made_from_the_artifact_alone(described: Path, said: list[str], tmp_path: Path) -> None:
    page = (described.parent / "out/tiny-val.html").read_text()
    shutil.copytree(described.parent / "out/tiny-val", tmp_path / "tiny-val")
    write_report([Store.at(tmp_path / "tiny-val")], tmp_path / "again.html")
    assert (tmp_path / "again.html").read_text() == page
    write_report([Store.at(described.parent / "out")], tmp_path / "root.html")
    assert (
        '<section id="provenance">' in (tmp_path / "root.html").read_text()
        and '<section id="provenance">' not in page
    )


def test_the_same_command_again_makes_only_what_is_missing(described: Path, said: list[str]) -> None:
    root = described.parent / "out"
    shutil.rmtree(root / "cps-1-val")
    files = sorted(root.glob("*-[01]*/artifact.json"))
    before = {file: file.stat().st_mtime_ns for file in files}
    table = (root / "tiny-val/table.json").read_text()
    again: list[str] = []
    compare(load_comparison(described), again.append)
    assert len(files) == 7 and before == {file: file.stat().st_mtime_ns for file in files}
    assert not any(": training" in line for line in again) and (root / "cps-1-val/artifact.json").exists()
    assert (root / "tiny-val/table.json").read_text() == table
    fewer = compare(load_comparison(described, ["seeds=[0]"]), again.append)
    assert fewer.read_json("table.json")["seeds"] == [0]


def test_a_comparison_may_lie_in_a_bucket(
    described: Path, said: list[str], s3: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(course, "train_apart", train_here)
    made = compare(load_comparison(described, [f"out={s3}/comparison", "seeds=[0]"]), lambda line: None)
    local = Store.at(described.parent / "out/tiny-val").read_json("table.json")
    for row, expected in zip(made.read_json("table.json")["rows"], local["rows"], strict=True):
        assert row["scores"]["dice"]["by_seed"][0] == pytest.approx(expected["scores"]["dice"]["by_seed"][0])
    assert Store.at(f"{s3}/comparison").read_text("tiny-val.html").startswith("<!DOCTYPE html>")


def test_masks_and_answers_stand_side_by_side(
    described: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(course, "train_apart", train_here)
    base = yaml.safe_load((described.parent / "tiny.yaml").read_text())
    networks = {"supervised": base.pop("network"), "classifier": {"name": "encoder", "widths": [4, 4, 8, 8]}}
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(base))
    recipes = {
        name: {"config": "tiny.yaml", "set": {"method": {"name": name}, "network": networks[name]}}
        for name in networks
    }
    value = yaml.safe_load(described.read_text()) | {
        "out": str(tmp_path / "out"),
        "seeds": [0],
        "recipes": recipes,
    }
    value |= {"control": "classifier", "split": "train"}  # so that both values of a label occur
    (tmp_path / "compare.yaml").write_text(yaml.safe_dump(value, sort_keys=False))
    lines: list[str] = []
    made = compare(load_comparison(tmp_path / "compare.yaml"), lines.append)
    masks, answers = made.read_json("table.json")["rows"]
    assert masks["scores"]["dice"]["difference"] is None and not masks["pooled"]
    assert answers["scores"] == {} and "grade AUC" in answers["pooled"]
    shown = made.read_json("pictures.json")
    assert "best case of supervised by" in shown["rule"] and all(
        list(case["scores"]) == ["supervised"] for case in shown["cases"]
    )
    assert any(line.startswith("classifier-0: ") and " AUC " in line for line in lines)


def test_a_split_without_masks_is_refused_before_any_training(
    described: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(course, "train_apart", lambda run, stop: pytest.fail("trained"))
    for mask in (folder / "masks").glob("case-0[89].png"):  # those of the validation patient
        mask.unlink()
    corpus, source = tmp_path / "bare", {"folder": {"path": str(folder), "classes": ["none", "disc", "ring"]}}
    shutil.copy(described.parent / "tiny.yaml", tmp_path)
    value = yaml.safe_load(described.read_text()) | {
        "out": str(tmp_path / "out"),
        "corpus": str(corpus),
        "source": source,
    }
    (tmp_path / "compare.yaml").write_text(yaml.safe_dump(value, sort_keys=False))
    with pytest.raises(CorpusError, match="no image of split 'val' has a mask; nothing to measure against"):
        compare(load_comparison(tmp_path / "compare.yaml"), lambda line: None)


def test_another_recipe_under_the_same_name_is_refused(described: Path, said: list[str]) -> None:
    with pytest.raises(
        CheckpointError, match="supervised-0: holds a finished model of another configuration"
    ):
        compare(load_comparison(described, ["set.train.steps=7"]), lambda line: None)


def test_a_process_of_its_own_trains_the_same_model(described: Path, said: list[str], tmp_path: Path) -> None:
    run = load_comparison(described, [f"out={tmp_path}"]).run("cps", 1)
    course.train_apart(run, Event())
    apart, here = Store.at(tmp_path / "cps-1"), Store.at(described.parent / "out/cps-1")
    assert apart.read_bytes("model.safetensors") == here.read_bytes("model.safetensors")
    assert apart.read_json("artifact.json")["hash"] == here.read_json("artifact.json")["hash"]


def test_runs_side_by_side_give_the_same_table(described: Path, said: list[str], tmp_path: Path) -> None:
    made = compare(
        load_comparison(described, [f"out={tmp_path}", "seeds=[0]", "parallel=2"]), lambda line: None
    )
    alone = Store.at(described.parent / "out")
    for row in made.read_json("table.json")["rows"]:
        summary = (alone / f"{row['recipe']}-0-val").read_json("summary.json")
        assert row["scores"]["dice"]["by_seed"] == [
            summary["predictors"][row["predictor"]]["mean"]["dice"]["mean"]
        ]


@pytest.fixture
def chained(described: Path, monkeypatch: pytest.MonkeyPatch) -> Comparison:
    """Two recipes of two seeds, two at a time, of which `cps` starts from `supervised`; neither is
    finished."""
    comparison = load_comparison(described, ["parallel=2"])
    starts = comparison.recipes["cps"].model_copy(update={"models": {"classifier": "supervised"}})
    comparison.recipes["cps"] = starts

    def unchecked(comparison: Comparison, recipe: str, seed: int) -> PipelineConfig:
        return comparison.recipes[recipe].model_copy(update={"name": f"{recipe}-{seed}"})

    monkeypatch.setattr(Comparison, "run", unchecked)  # no method takes up a model of any other
    monkeypatch.setattr(course, "is_finished", lambda *parts: False)
    monkeypatch.setattr(course, "artifact_spec", lambda run: None)
    monkeypatch.setattr(course, "evaluate", lambda *parts: {})
    monkeypatch.setattr(course, "headline", lambda summary: "")
    return comparison


def test_what_starts_from_another_recipe_waits_for_it(
    chained: Comparison, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []

    def slow(run: TrainConfig, stop: Event) -> None:
        time.sleep(0.2 if run.name.startswith("supervised") else 0)
        order.append(run.name)

    monkeypatch.setattr(course, "train_apart", slow)
    course._runs(chained, lambda line: None)
    assert len(order) == 4 and all(
        order.index(f"supervised-{seed}") < order.index(f"cps-{seed}") for seed in (0, 1)
    )


def test_what_cannot_start_yet_lets_others_go_first(
    chained: Comparison, monkeypatch: pytest.MonkeyPatch
) -> None:
    other_seed = Event()

    def train(run: TrainConfig, stop: Event) -> None:
        if run.name == "supervised-1":
            other_seed.set()
        assert other_seed.wait(5)

    monkeypatch.setattr(course, "train_apart", train)
    made = course._runs(chained, lambda line: None)
    assert [(run.recipe, run.seed) for run in made] == [
        ("supervised", 0),
        ("cps", 0),
        ("supervised", 1),
        ("cps", 1),
    ]


@pytest.mark.parametrize("parallel", [1, 2])
def test_after_an_error_no_further_run_begins_and_those_beside_it_stop(
    parallel: int, described: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    begun, stopped, all_begun = [], [], Event()

    def fail(run: TrainConfig, stop: Event) -> None:
        begun.append(run.name)
        if len(begun) == parallel:
            all_begun.set()
        if run.name == "cps-0":
            stopped.append(stop.wait(20))
        all_begun.wait(20)
        raise TrainingError(f"run '{run.name}': no")

    monkeypatch.setattr(course, "train_apart", fail)
    with pytest.raises(TrainingError, match="run 'supervised-0': no"):
        compare(load_comparison(described, [f"out={tmp_path}", f"parallel={parallel}"]), lambda line: None)
    assert sorted(begun) == ["cps-0", "supervised-0"][-parallel:] and all(stopped)


def test_an_interrupt_stops_the_runs(
    described: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stopped: list[bool] = []

    def interrupted(*parts: object, **settings: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(course, "train_apart", lambda run, stop: stopped.append(stop.wait(20)))
    monkeypatch.setattr(course, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        compare(load_comparison(described, [f"out={tmp_path}"]), lambda line: None)
    assert stopped == [True]


def test_a_stopped_training_ends_at_once(described: Path, said: list[str], tmp_path: Path) -> None:
    run = load_comparison(described, [f"out={tmp_path}", "set.train.steps=100000"]).run("supervised", 0)
    stop = Event()
    Timer(1.0, stop.set).start()
    begun = time.perf_counter()
    with pytest.raises(TrainingError, match="run 'supervised-0': stopped"):
        course.train_apart(run, stop)
    assert time.perf_counter() - begun < 30


def test_a_training_that_does_not_end_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(course, "GRACE", 0.5)
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN)"
    deaf += "; print('deaf', flush=True); time.sleep(60)"
    process = subprocess.Popen(
        [sys.executable, "-c", deaf], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stdout.readline() == "deaf\n"
    stop = Event()
    stop.set()
    assert course._until_ended(process, stop) == "" and process.returncode == -signal.SIGKILL


def test_no_training_outlives_a_comparison_that_is_killed(described: Path, tmp_path: Path) -> None:
    words = [str(described), f"out={tmp_path}", "set.train.steps=100000"]
    killed = subprocess.Popen(
        [sys.executable, "-m", "framework.cli", "compare", *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while not list(tmp_path.glob("*/metrics.jsonl")):
        assert killed.poll() is None
        time.sleep(0.05)
    below = psutil.Process(killed.pid).children(recursive=True)
    killed.kill()
    killed.wait()
    _, alive = psutil.wait_procs(below, timeout=20)
    assert below and not alive


def test_a_training_that_fails_says_why_in_one_line(described: Path, said: list[str], tmp_path: Path) -> None:
    comparison = load_comparison(described, [f"out={tmp_path}", "set.corpus.budget.share=1.0"])
    with pytest.raises(
        TrainingError, match=r"^run 'cps-0': method 'cps' needs unlabelled training images"
    ) as raised:
        course.train_apart(comparison.run("cps", 0), Event())
    assert "\n" not in str(raised.value)
