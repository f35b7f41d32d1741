"""The append-only metric log `metrics.jsonl`, and TensorBoard beside it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from typing import Any

from framework.core.storage import Store

NAME = "metrics.jsonl"
MEASURES = ("Dice", "AUPR", "AUC")
"""Names of validation scores; where a method has two, the first of them is the one it is judged by."""


class MetricLog:
    """One JSON object a line. Lines of steps that a restart repeats are dropped when the log is opened again."""

    def __init__(self, store: Store, step: int) -> None:
        self.store = store
        self._lines = [json.dumps(record) for record in read(store) if record["step"] <= step]
        self._fresh: list[dict[str, Any]] = []
        self._board = _board(store, step)
        store.write_text(NAME, "".join(line + "\n" for line in self._lines))

    def add(self, record: dict[str, Any]) -> None:
        self._fresh.append(record)

    def flush(self) -> None:
        """Make the new lines visible: appended to a local file, written anew to a bucket."""
        lines = [json.dumps(record) for record in self._fresh]
        self._lines += lines
        if self.store.is_local:
            with open(os.path.join(self.store.url, NAME), "a") as file:
                file.write("".join(line + "\n" for line in lines))
        else:
            self.store.write_text(NAME, "".join(line + "\n" for line in self._lines))
        if self._board is not None:
            for record in self._fresh:
                _write_scalars(self._board, record)
            self._board.flush()
        self._fresh = []

    def close(self) -> None:
        self.flush()
        if self._board is not None:
            self._board.close()


def read(store: Store) -> list[dict[str, Any]]:
    """All whole lines of a run's log; a last line that a crash cut off is passed over."""
    if not store.exists(NAME):
        return []
    records = []
    for line in store.read_text(NAME).splitlines():
        try:
            records.append(json.loads(line))
        except ValueError:
            continue
    return records


def measure(scores: dict[str, Any]) -> str:
    """What the mean of a validation is a mean of."""
    return next(name for name in MEASURES if name.lower() in scores)


def best_key(measure: str) -> str:
    """Where a finished model counts its best validation score."""
    return f"best_validation_{measure.lower()}"


def best_score(counts: dict[str, Any]) -> tuple[str, float] | None:
    """A finished model's best validation score and its name, of its counts; None for a model that was not validated."""
    found = ((name, counts.get(best_key(name))) for name in MEASURES)
    return next(((name, score) for name, score in found if score is not None), None)


def _board(store: Store, step: int) -> Any:
    """TensorBoard writes local folders; for a bucket the metric log alone is kept."""
    if not store.is_local:
        return None
    from torch.utils.tensorboard.writer import SummaryWriter

    return SummaryWriter(os.path.join(store.url, "tensorboard"), purge_step=step + 1)


def _write_scalars(board: Any, record: dict[str, Any]) -> None:
    for name, value in _scalars(record):
        board.add_scalar(name, value, record["step"])


def _scalars(record: dict[str, Any], prefix: str = "") -> Iterable[tuple[str, float]]:
    for key, value in record.items():
        if isinstance(value, dict):
            yield from _scalars(value, f"{prefix}{key}/")
        elif isinstance(value, list):
            yield from ((f"{prefix}{key}/{i}", v) for i, v in enumerate(value) if v is not None)
        elif key != "step":
            yield prefix + key, value
