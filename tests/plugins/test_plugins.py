"""A package that adds one of each kind: installed for real, and seen everywhere, without an edit in
framework/."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from framework.core.storage import Store
from framework.corpus.reader import Corpus
from framework.training.metric_log import read

PACKAGE = Path(__file__).with_name("package")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the whole way with the package's parts has left; `said.txt` is what it printed."""
    root = tmp_path_factory.mktemp("plugins")
    install = ["install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--target"]
    package = shutil.copytree(PACKAGE, root / "package")  # pip builds beside the sources
    subprocess.run([sys.executable, "-m", "pip", *install, str(root / "site"), str(package)], check=True)
    environment = os.environ | {"PYTHONPATH": str(root / "site"), "COLUMNS": "200"}
    command = [sys.executable, "-W", "ignore", "-m", "tests.plugins.every_step", str(root)]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr[-3000:]
    (root / "said.txt").write_text(ended.stdout)
    return root


@pytest.fixture(scope="module")
def said(folder: Path) -> str:
    return (folder / "said.txt").read_text()


@pytest.fixture(scope="module")
def page(folder: Path) -> str:
    return (folder / "whole/report.html").read_text()


def test_a_method_is_listed_trained_evaluated_pseudo_labels_and_is_reported(
    folder: Path, said: str, page: str
) -> None:
    run = Store.at(folder / "whole")
    assert "Grandvalet & Bengio, NIPS 2004" in said
    assert (run / "model").read_json("artifact.json")["counts"]["steps"] == 6
    assert (run / "pseudo").read_json("artifact.json")["counts"]["rows"] > 0
    assert "network 1" in (run / "evaluation").read_json("summary.json")["predictors"]
    assert "How sure the network became." in page and "A section of another package." in page


def test_a_job_is_a_command_and_a_stage_and_is_reported(folder: Path, said: str, page: str) -> None:
    assert f"layer: {folder}/corpus/layers/bright (12 images, 100 the level, 0 quarantined)" in said
    assert "bright: bright\n  12 images, 90 the level, 0 quarantined" in said
    assert (Store.at(folder) / "whole/bright").read_json("artifact.json")["job"] == "bright"
    assert "bright" in page


def test_a_metric_is_in_tables_summary_log_validation_and_report(folder: Path, said: str, page: str) -> None:
    evaluation = Store.at(folder / "whole/evaluation")
    assert "sensitivity" in evaluation.read_table("cases.parquet").column_names
    scores = evaluation.read_json("summary.json")["predictors"]["network 1"]["mean"]
    assert 0 <= scores["sensitivity"]["mean"] <= 1
    assert "Sensitivity" in said and "The share of the true mask that is found." in page
    records = read(Store.at(folder / "whole/model"))
    assert any("sensitivity" in record.get("validation", {}) for record in records)


def test_a_network_is_trained(folder: Path) -> None:
    counts = Store.at(folder / "whole/model").read_json("artifact.json")["counts"]
    assert counts["parameters"] == 8 + 8 + 2 * 8 + 2


def test_a_strategy_steps_and_its_state_is_saved(folder: Path) -> None:
    assert (folder / "whole/model/checkpoints/step-00000006/optimiser.safetensors").exists()
    assert "name: sign" in (folder / "whole/model/config.yaml").read_text()


def test_a_codec_is_imported_with_its_spacing_and_distances_are_in_millimetres(folder: Path) -> None:
    corpus = Corpus.open(str(folder / "corpus"))
    assert corpus.value("p0", "spacing") == [1.0, 0.5, 0.5] and corpus.image("p0").shape == (24, 20, 1)
    assert Store.at(folder / "whole/evaluation").read_json("summary.json")["unit"] == "mm"
