"""The command line in this process, and a run for it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import yaml

from framework.cli import main as cli
from tests.cli.support import Outcome, Scantseg


@pytest.fixture
def scantseg(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Scantseg:
    """Runs a command in this process, through the entry point that the installed command has."""

    def run(*words: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["scantseg", *map(str, words)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        printed = capsys.readouterr()
        return Outcome(int(ended.value.code or 0), printed.out, printed.err)

    return run


@pytest.fixture
def recipe(tmp_path: Path, phantom_url: str) -> Path:
    """A run of one step of a tiny network, without Ray."""
    described = {
        "name": "tiny",
        "out": str(tmp_path / "runs"),
        "corpus": {"path": phantom_url, "size": 32},
        "network": {"name": "unet", "widths": [4, 8]},
        "train": {"steps": 1, "batch": 2},
        "compute": {"workers": 0},
    }
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(described))
    return path
