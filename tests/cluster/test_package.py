"""What a job takes along, and what it never does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from framework.cluster import package
from framework.cluster.package import files, pack
from framework.core.errors import ConfigError

TAKEN = ("configs/mine.yaml", "methods/mine.py", "pyproject.toml")
LEFT = (
    "labels/patients.csv",
    "scan.png",
    ".git/hooks/hook.py",
    ".secret.yaml",
    "corpora/acdc/rows.py",
    "corpora/acdc/corpus.json",
    "runs/coda/config.yaml",
    "runs/coda/artifact.json",
    "runs/begun/config.yaml",
    "runs/begun/checkpoints/step-1/checkpoint.json",
    "hospital/labels.csv",
    "hospital/reader.py",
    ".venv/lib/x.py",
    "environment/pyvenv.cfg",
    "environment/lib/x.py",
    "methods/__pycache__/mine.py",
)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name in (*TAKEN, *LEFT):
        path = tmp_path / "project" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x = 1\n" if name.endswith(".toml") else "x: 1\n")
    return tmp_path / "project"


def test_code_and_configurations_are_taken_along_and_nothing_else(project: Path, tmp_path: Path) -> None:
    packed = pack(project, tmp_path / "job")
    copied = {str(path.relative_to(packed.folder)) for path in packed.folder.rglob("*") if path.is_file()}
    assert copied == set(TAKEN)
    assert str(packed) == "3 files, 0.0 MB"


def test_data_beside_the_configurations_stay_here(project: Path) -> None:
    """Who submits from the folder of the data still has the configurations."""
    (project / "labels.csv").write_text("id,patient\n")
    assert {str(path.relative_to(project)) for path in files(project)} == set(TAKEN)


def test_a_link_out_of_the_folder_is_not_followed(project: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere.yaml").write_text("token: x\n")
    (project / "linked.yaml").symlink_to(tmp_path / "elsewhere.yaml")
    (project / "linked").symlink_to(tmp_path)
    assert {str(path.relative_to(project)) for path in files(project)} == set(TAKEN)


def test_what_is_too_large_is_named(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package, "LIMIT", 2**20)
    (project / "weights.py").write_bytes(b"#" * 3_000_000)
    with pytest.raises(ConfigError, match=r"^project: .* have 3 MB, .* at most 1: weights.py \(3 MB\)"):
        pack(project, tmp_path / "job")


def test_a_method_of_the_reader_s_own_is_known_to_the_job(project: Path, tmp_path: Path) -> None:
    """Workers import from the folder that was taken along, where nothing is installed."""
    described = '[project]\nname = "my-methods"\n[project.entry-points."scantseg.methods"]\n'
    (project / "pyproject.toml").write_text(described + 'mine = "methods.mine:Mine"\n')
    packed = pack(project, tmp_path / "job")
    code = "from importlib.metadata import entry_points; print(*entry_points(group='scantseg.methods'))"
    environment = {**os.environ, "PYTHONPATH": str(packed.folder)}
    ended = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert "EntryPoint(name='mine', value='methods.mine:Mine'" in ended.stdout, ended.stderr
