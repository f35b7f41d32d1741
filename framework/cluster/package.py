"""What a job takes along: the reader's configurations and code, never data, and only a few megabytes."""

import os
import re
import shutil
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from framework.core.counting import several
from framework.core.errors import ConfigError

TAKEN = (".py", ".yaml", ".yml", ".toml", ".j2")
"""Endings of what is taken along: neither pictures nor tables, which may hold what identifies patients."""
NOT_CODE = ("pyvenv.cfg", "artifact.json", "corpus.json", "building.json", "labels.csv", "checkpoints")
"""What a folder has that is an environment, an artifact, a run or data: nothing below it is taken along."""
LIMIT = 20 * 2**20
"""Bytes: code and configurations that have more hold something else."""


@dataclass(frozen=True)
class Package:
    """A folder of copies that is sent to the cluster."""

    folder: Path
    files: int
    size: int
    """Bytes."""

    def __str__(self) -> str:
        return f"{several(self.files, 'file')}, {self.size / 1e6:.1f} MB"


def pack(root: Path, into: Path) -> Package:
    """Copy the code and the configurations below `root` to `into`, and register the project's entry points.

    Raises `ConfigError`, which names the largest ones, where they have more than `LIMIT` bytes.
    """
    sizes = {path: path.stat().st_size for path in files(root)}
    if (total := sum(sizes.values())) > LIMIT:
        largest = sorted(sizes, key=sizes.__getitem__, reverse=True)[:3]
        named = ", ".join(f"{path.relative_to(root)} ({sizes[path] / 1e6:.0f} MB)" for path in largest)
        fault = f"{root.name}: its code and configurations have {total / 1e6:.0f} MB"
        mend = "submit from the folder that holds your configurations alone"
        raise ConfigError(f"{fault}, and a job takes along at most {LIMIT >> 20}: {named}; {mend}")
    for path in sizes:
        target = into / path.relative_to(root)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    _register(root / "pyproject.toml", into)
    return Package(into, len(sizes), total)


def _register(pyproject: Path, into: Path) -> None:
    """Make a project's own methods, networks and the like known to the job as an installation would: Python
    finds entry points beside whatever it imports from."""
    try:
        project = tomllib.loads(pyproject.read_text()).get("project", {}) if pyproject.exists() else {}
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{pyproject.name}: not valid TOML ({error})") from None
    groups = {k: v for k, v in project.get("entry-points", {}).items() if k.startswith("scantseg.")}
    if not groups:
        return
    name, version = project.get("name", "submitted"), project.get("version", "0")
    installed = into / f"{re.sub(r'[-_.]+', '_', name)}-{version}.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    lines = [line for k, v in groups.items() for line in (f"[{k}]", *(f"{n} = {to}" for n, to in v.items()))]
    (installed / "entry_points.txt").write_text("\n".join(lines) + "\n")


def files(root: Path) -> Iterator[Path]:
    """What is taken along from below a folder; links are not followed."""
    for folder, below, names in os.walk(root):
        if Path(folder) != root and not {*names, *below}.isdisjoint(NOT_CODE):
            below.clear()
            continue
        below[:] = sorted(name for name in below if not name.startswith((".", "__pycache__")))
        paths = (Path(folder, name) for name in sorted(names) if name.endswith(TAKEN))
        yield from (path for path in paths if not path.is_symlink() and not path.name.startswith("."))
