"""A mutant: one meaningful fault in the program, and the tests that notice it; `rooms/` has the list."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
ROOMS = Path(__file__).with_name("rooms")


@dataclass(frozen=True)
class Mutant:
    """A text of a file that is replaced by another, so that something is broken."""

    room: str
    breaks: str
    """What is broken, in a phrase."""
    file: str
    old: str
    """Occurs once in the file."""
    new: str
    tests: tuple[str, ...]
    """Files of tests, or single ones as pytest names them, at least one of which fails."""

    def apply(self, root: Path) -> None:
        """Put the fault into the tree at `root`."""
        path = root / self.file
        path.write_text(path.read_text().replace(self.old, self.new))

    def stale(self, root: Path) -> str:
        """Why it cannot be applied to the tree at `root` any more, "" where it can."""
        path, files = root / self.file, {test.partition("::")[0] for test in self.tests}
        if lacking := sorted(file for file in files if not (root / file).is_file()):
            return f"no test file {lacking[0]}"
        times = path.read_text().count(self.old) if path.is_file() else 0
        return "" if times == 1 else f"its old text occurs {times} times in {self.file}"


def mutants(wanted: str = "") -> list[Mutant]:
    """All, room by room, or those with a text in their room, their phrase or their file."""
    listed = [mutant for path in sorted(ROOMS.glob("*.yaml")) for mutant in _read(path)]
    return [each for each in listed if wanted in f"{each.room}: {each.breaks} ({each.file})"]


def _read(path: Path) -> list[Mutant]:
    entries = yaml.load(path.read_text(), yaml.BaseLoader)  # every scalar is text
    return [Mutant(path.stem, **entry | {"tests": tuple(entry["tests"])}) for entry in entries]
