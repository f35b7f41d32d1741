"""The record of a search: what each trial was given, how far it came and how good it was."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from pydantic import BaseModel

from framework.core.errors import CheckpointError
from framework.core.lock import require_lock
from framework.core.storage import Store

FILE = "trials.json"
State = Literal["running", "finished", "stopped", "failed"]


@dataclass
class Trial:
    """One trial; `step` and `score` (best so far, 0..1) are those of its validations."""

    name: str
    values: dict[str, Any]
    """What the space gave it, by dotted key."""
    state: State = "running"
    """`stopped`: by the scheduler, because others were better at the same step."""
    step: int = 0
    score: float | None = None
    seconds: float = 0.0
    """From the start of its driver, that of its workers included."""
    message: str = ""

    @property
    def ended(self) -> bool:
        """Nothing is left to do; the same command tries a failed trial again, from its last checkpoint."""
        return self.state in ("finished", "stopped")


class Content(BaseModel):
    """What `trials.json` holds."""

    hash: str
    trials: list[Trial]


@dataclass
class Trials:
    """All trials of a search, kept in `trials.json`; one process writes it."""

    store: Store
    hash: str
    """What determines the search: another search must not go on in its folder."""
    record: list[Trial] = field(default_factory=list)

    @classmethod
    def open(cls, store: Store, hash: str) -> Trials:
        """What is recorded so far; raises `CheckpointError` when the folder holds another search."""
        if not store.exists(FILE):
            return cls(store, hash)
        content = store.read_json(FILE, Content)
        if content.hash != hash:
            fault = "holds a search of another run, space or seed"
            raise CheckpointError(f"{store.url}: {fault}; choose another name, or delete it")
        return cls(store, hash, content.trials)

    def __getitem__(self, name: str) -> Trial:
        return next(trial for trial in self.record if trial.name == name)

    def open_ones(self) -> list[Trial]:
        """Trials that an interruption or an error left unfinished."""
        return [trial for trial in self.record if not trial.ended]

    def left(self, wanted: int) -> int:
        """How many trials are to run until there are so many that ended."""
        return len(self.open_ones()) + max(0, wanted - len(self.record))

    def add(self, values: dict[str, Any]) -> Trial:
        self.record.append(Trial(f"trial-{len(self.record) + 1}", values))
        return self.record[-1]

    def save(self) -> None:
        """Write it; raises `StorageError` where another process has taken the search over."""
        require_lock(self.store)
        self.store.write_json(FILE, {"hash": self.hash, "trials": [asdict(trial) for trial in self.record]})

    def ranked(self) -> list[Trial]:
        """Best validation score first, those without one last."""
        return sorted(self.record, key=lambda trial: 1.0 if trial.score is None else -trial.score)


def table(trials: list[Trial], metric: str) -> list[str]:
    """Lines of a table in the given order, with the best validation score of `metric`."""
    keys = list(dict.fromkeys(key for trial in trials for key in trial.values))
    rows = [["trial", *keys, "step", metric, "seconds", "state"]]
    for trial in trials:
        values = [show(trial.values[key]) for key in keys]
        score = "-" if trial.score is None else f"{trial.score:.4f}"
        state = f"{trial.state}: {trial.message}" if trial.message else trial.state
        rows.append([trial.name, *values, str(trial.step), score, f"{trial.seconds:.0f}", state])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]


def show(value: Any) -> str:
    """A value as YAML's flow style, which is what the command line reads."""
    return value if isinstance(value, str) else json.dumps(value)
