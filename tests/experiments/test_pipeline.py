"""Stages in this process: the whole main job but for Ray, twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from framework.core.config_files import merge, parse
from framework.core.errors import CheckpointError, ConfigError, CorpusError
from framework.core.settings import digest, identity
from framework.core.storage import Store
from framework.corpus.reader import Corpus
from framework.evaluation.evaluate import evaluate
from framework.experiments.pipeline import run as pipeline
from framework.experiments.pipeline.config import PipelineConfig
from framework.experiments.pipeline.run import run_stages, stage_run
from framework.experiments.pipeline.stages import EvaluateStage
from framework.labelling.weak.config import Polygon
from framework.training.run import train
from tests.contract.support import tiny_run


def described(tmp_path: Path, **changes: object) -> dict:
    base = tiny_run(str(tmp_path / "corpus"), "coda", tmp_path / "runs").model_dump(exclude={"stages"})
    return merge(base, {"name": "whole", "source": {"phantom": {"images": 50, "size": 48}}, **changes})


def test_corpus_train_evaluate_report_and_the_same_again(tmp_path: Path) -> None:
    said: list[str] = []
    root = run_stages(parse(described(tmp_path), PipelineConfig), said.append)
    assert {"model", "evaluation", "report.html"} <= set(root.names())
    assert any(line.strip().startswith("both: mean Dice") for line in said)
    before = {
        name: Path(root.url, name, "artifact.json").stat().st_mtime_ns for name in ("model", "evaluation")
    }
    run_stages(parse(described(tmp_path), PipelineConfig), said.append)
    assert before == {name: Path(root.url, name, "artifact.json").stat().st_mtime_ns for name in before}


def test_a_stage_changes_keys_and_refers_only_to_earlier_ones(tmp_path: Path) -> None:
    stages = [{"stage": "train", "name": "one", "layers": ["pseudo"]}]
    with pytest.raises(ConfigError, match="stage 'one' refers to 'pseudo', which no stage before it makes"):
        run_stages(parse(described(tmp_path, stages=stages), PipelineConfig), print)
    stages = [{"stage": "train", "set": {"train": {"stepps": 3}}}]
    with pytest.raises(ConfigError, match=r"stage 'model'.*'train.stepps'; did you mean 'steps'"):
        run_stages(parse(described(tmp_path, stages=stages), PipelineConfig), print)


def test_weak_labels_are_stages_and_a_folder_is_no_stage(folder: Path, tmp_path: Path) -> None:
    corpus, drawn = {"path": str(tmp_path / "corpus")}, str(folder / "masks")
    stages = [
        {"stage": "simulate-weak", "settings": {"kind": "polygon", "points": [4, 6]}},
        {"stage": "import-masks", "folder": drawn, "settings": {"kind": "noisy"}},
    ]
    value = {"name": "weak", "out": str(tmp_path), "corpus": corpus, "stages": stages}
    source = {"folder": {"path": str(folder), "classes": ["background", "a", "b"]}}
    said: list[str] = []
    root = run_stages(parse({**value, "source": source}, PipelineConfig), said.append)
    assert [line for line in said[1:] if not line.startswith("  note: ")] == [
        "weak: simulate-weak",
        "  8 images, 0 quarantined",
        "drawn: import-masks",
        "  12 images, 0 without a file, 0 quarantined",
    ]
    assert set((root / "drawn").read_json("artifact.json")["inputs"]) == {"corpus", "folder"}
    asked = digest(identity(Polygon(kind="polygon", points=(4, 6))))
    assert (root / "weak").read_json("artifact.json")["config_hash"] == asked
    with pytest.raises(ConfigError, match=r"key 'stages\[0\].settings' is missing"):
        parse({**value, "stages": [{"stage": "simulate-weak"}]}, PipelineConfig)


def test_a_stage_reads_what_earlier_ones_made_and_scores_the_split_that_it_names(
    phantom_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, asked = Store.at(tmp_path), []
    stage = {"stage": "train", "layers": ["pseudo"], "set": {"train": {"steps": 3}}}
    value = {"name": "r", "corpus": {"path": phantom_url, "layers": ["own"]}, "stages": [stage]}
    run = parse(value, PipelineConfig)
    described = stage_run(run, run.stages[0], root)
    assert described.corpus.layers == ["own", (root / "pseudo").url] and described.train.steps == 3
    monkeypatch.setattr(pipeline, "evaluate", lambda *given: asked.append(given) or {})
    monkeypatch.setattr(pipeline, "score_lines", lambda summary: [])
    pipeline._evaluate(run, EvaluateStage(stage="evaluate", split="val"), root, print)
    assert asked == [(root / "model", phantom_url, root / "evaluation", "val")]


def test_a_finished_model_of_another_configuration_is_not_overwritten(
    phantom_url: str, tmp_path: Path
) -> None:
    train(tiny_run(phantom_url, "supervised", tmp_path))
    with pytest.raises(CheckpointError, match="holds a finished model of another configuration"):
        train(tiny_run(phantom_url, "supervised", tmp_path, {"seed": 5}))


def test_no_label_is_left_and_nothing_is_unlabelled(phantom_url: str, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"leaves no labelled image; raise corpus\.budget\.share"):
        train(tiny_run(phantom_url, "supervised", tmp_path, {"corpus": {"budget": {"share": 0.001}}}))
    with pytest.raises(CorpusError, match="method 'cps' needs unlabelled training images"):
        train(tiny_run(phantom_url, "cps", tmp_path, {"corpus": {"budget": {"share": 1.0}}}))


def test_evaluation_has_a_row_per_case_structure_and_predictor(phantom_url: str, tmp_path: Path) -> None:
    model = train(tiny_run(phantom_url, "cps", tmp_path))
    out = Store.at(tmp_path / "evaluation")
    summary = evaluate(model, phantom_url, out)
    cases = len(Corpus.open(phantom_url).ids("test"))
    assert summary["cases"] == cases and summary["dimension"] == 2 and summary["unit"] == "px"
    assert out.read_table("cases.parquet").num_rows == cases * 4 * 2
    assert {entry["rank"] for entry in out.read_json("pictures.json")} == {"best", "median", "worst"}
    with pytest.raises(CorpusError, match="has no row in split 'tset'"):
        evaluate(model, phantom_url, Store.at(tmp_path / "other"), "tset")
