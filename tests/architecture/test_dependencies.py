"""What is declared is imported: nothing is installed for a promise that no code keeps."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

from tests.architecture.imports import ROOT

IMPORTED_AS = {
    "pyyaml": "yaml",
    "pillow": "PIL",
    "segmentation-models-pytorch": "segmentation_models_pytorch",
    "scikit-learn": "sklearn",
    "pytest-xdist": "xdist",
    "google-auth": "google",
}
WITHOUT_IMPORT = {"torchvision", "ruff", "pyright"}
"""Not imported: the release that fits torch, for timm; commands."""


def declared() -> list[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [name for names in project.get("optional-dependencies", {}).values() for name in names]
    return [re.split(r"[\[>=<]", name)[0] for name in [*project["dependencies"], *extras]]


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0] if "tensorboard" not in node.module else "tensorboard")
    text = path.read_text()
    return names | {name for name in re.findall(r"importorskip\(\"(\w+)", text)}


def test_every_dependency_is_imported() -> None:
    files = [path for folder in ("framework", "jobs", "tests") for path in (ROOT / folder).rglob("*.py")]
    used = set().union(*map(imported, files))
    expected = [name for name in declared() if name not in WITHOUT_IMPORT]
    assert [name for name in expected if IMPORTED_AS.get(name, name) not in used] == []
