"""What a command of the tests gave."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple


class Outcome(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def complaint(self) -> str:
        """The one line on stderr of a command that failed."""
        lines = self.err.strip().splitlines()
        assert self.code == 1, self
        assert len(lines) == 1 and lines[0].startswith("error: "), self
        return lines[0].removeprefix("error: ")


Scantseg = Callable[..., Outcome]
