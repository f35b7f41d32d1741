"""The append-only metric log `metrics.jsonl`, TensorBoard beside it, and a progress bar fed by it."""

import contextlib
import json
import os
import threading
from collections.abc import Iterable, Iterator
from itertools import starmap
from typing import Any

from framework.core.errors import StorageError
from framework.core.lock import require_lock
from framework.core.storage import Store
from framework.metrics.base import Metric
from framework.metrics.registry import METRICS

NAME = "metrics.jsonl"
BEST = "best_validation_"
"""Begins the name of the count of a finished model's best validation score; the metric's key follows."""
INTERVAL = 2.0
"""Seconds between two looks of the progress bar at the log."""


class MetricLog:
    """One JSON object a line. Lines of steps that a restart repeats are dropped when it is opened again, and
    so are damaged ones. Raises `StorageError` where it cannot be written."""

    def __init__(self, store: Store, step: int, notices: Iterable[str] = ()) -> None:
        self.store = store
        records, damaged = _read(store)
        self._text = _lines(record for record in records if record["step"] <= step)
        self._board: Any = None
        store.write_text(NAME, self._text)
        if store.is_local:  # TensorBoard writes no buckets
            from torch.utils.tensorboard.writer import SummaryWriter

            with _explained(store):
                self._board = SummaryWriter(os.path.join(store.url, "tensorboard"), purge_step=step + 1)
        lost = [f"{store.url}/{NAME}: {damaged} damaged lines left out"] if damaged else []
        self.write(*({"step": step, "notice": line} for line in (*notices, *lost)))

    def write(self, *records: dict[str, Any]) -> None:
        """Append lines to a local file; in a bucket, write it anew unless another has the run by now."""
        self._text += _lines(records)
        if not self.store.is_local:
            require_lock(self.store)
            self.store.write_text(NAME, self._text)
            return
        with _explained(self.store):
            with open(os.path.join(self.store.url, NAME), "a") as file:
                file.write(_lines(records))
            for record in records:
                for name, value in _scalars(record):
                    self._board.add_scalar(name, value, record["step"])
            self._board.flush()

    def close(self) -> None:
        if self._board is not None:
            self._board.close()


@contextlib.contextmanager
def _explained(store: Store) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        fault = f"the log cannot be written ({error.strerror or error})"
        mend = "make room, or mend it, and run the same command again"
        raise StorageError(f"{store.url}/{NAME}: {fault}; {mend}") from None


def read(store: Store) -> list[dict[str, Any]]:
    """All whole lines of a run's log; damaged ones, as a crash or a disk may leave, are passed over."""
    return _read(store)[0]


def _read(store: Store) -> tuple[list[dict[str, Any]], int]:
    """The whole lines, and how many others there are; a last line that is not whole yet is none of them."""
    data = store.read_bytes(NAME) if store.exists(NAME) else b""
    *lines, _ = data.split(b"\n")
    records = [_record(line) for line in lines]
    whole = [record for record in records if record is not None]
    return whole, len(records) - len(whole)


def _record(line: bytes) -> dict[str, Any] | None:
    """What a line says, None where it is damaged: no record of a step, or of other types."""
    try:
        record = json.loads(line)
    except ValueError:
        return None
    is_record = isinstance(record, dict) and isinstance(record.get("step"), int)
    return record if is_record and all(starmap(_fits, record.items())) else None


def _fits(key: str, value: Any) -> bool:
    if key == "validation":
        known = isinstance(value, dict) and value.get("metric") in METRICS
        return known and isinstance(value.get("mean"), int | float)
    return isinstance(value, {"notice": str, "statistics": dict}.get(key, int | float))


def judged_by(log: Iterable[dict[str, Any]]) -> str | None:
    """The key of the metric by which a run was judged on its validation images; None where it was not."""
    return next((record["validation"]["metric"] for record in log if "validation" in record), None)


def best_metric(counts: dict[str, Any]) -> Metric | None:
    """The metric by which a finished model was judged, by its counts; None where it is not known."""
    return next((METRICS.get(key.removeprefix(BEST)) for key in counts if key.startswith(BEST)), None)


def best_score(counts: dict[str, Any]) -> tuple[str, float] | None:
    """The name of that metric and the best score on validation images; None where there was none."""
    metric = best_metric(counts)
    score = counts[BEST + metric.key] if metric else None
    return (metric.name, score) if metric and score is not None else None


def _lines(records: Iterable[dict[str, Any]]) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


def _scalars(record: dict[str, Any], prefix: str = "") -> Iterable[tuple[str, float]]:
    for key, value in record.items():
        if isinstance(value, dict):
            yield from _scalars(value, f"{prefix}{key}/")
        elif isinstance(value, list):
            yield from ((f"{prefix}{key}/{i}", v) for i, v in enumerate(value) if v is not None)
        elif key not in ("step", "metric", "notice"):
            yield prefix + key, value


@contextlib.contextmanager
def follow(store: Store, name: str, steps: int) -> Iterator[None]:
    """Show the progress of a run while the block trains it."""
    from rich import progress as rich

    columns = [rich.TextColumn("[bold]{task.description}"), rich.BarColumn(), rich.MofNCompleteColumn()]
    columns += [rich.TimeElapsedColumn(), rich.TextColumn("left"), rich.TimeRemainingColumn()]
    columns += [rich.TextColumn("{task.fields[note]}")]
    quiet: dict[str, Any] = {"redirect_stdout": False, "redirect_stderr": False}
    ended, told = threading.Event(), _notices(read(store))
    with rich.Progress(*columns, speed_estimate_period=60, **quiet) as progress:
        task = progress.add_task(name, total=steps, note="starting")

        def look() -> None:
            records = read(store)
            if seen := [record for record in records if "loss" in record]:
                progress.update(task, completed=seen[-1]["step"], note=_note(seen, records))
            for notice in _notices(records) - told:
                progress.console.print(notice, markup=False, highlight=False, soft_wrap=True)
                told.add(notice)

        def watch() -> None:
            while not ended.wait(INTERVAL):
                with contextlib.suppress(StorageError):  # the log may be between two states
                    look()

        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        try:
            yield
            look()
        finally:
            ended.set()
            thread.join()


def _notices(records: Iterable[dict[str, Any]]) -> set[str]:
    return {record["notice"] for record in records if "notice" in record}


def _note(seen: list[dict], records: list[dict]) -> str:
    recent = seen[-50:]
    per_second = sum(r.get("images", 0) for r in recent) / max(1e-9, sum(r.get("seconds", 0) for r in recent))
    scores = [r["validation"] for r in records if "validation" in r]
    score = f", val {METRICS[scores[-1]['metric']].name} {scores[-1]['mean']:.3f}" if scores else ""
    return f"loss {seen[-1]['loss']:.3f}, {per_second:.0f} img/s{score}"
