"""A progress bar with time left and images per second, fed by the metric log, wherever the workers are."""

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

from framework.core.errors import StorageError
from framework.core.storage import Store
from framework.metrics.registry import METRICS
from framework.training import metric_log

INTERVAL = 2.0
"""Seconds between two looks at the log."""


@contextlib.contextmanager
def follow(store: Store, name: str, steps: int) -> Iterator[None]:
    """Show the progress of a run while the block trains it."""
    from rich import progress as rich

    columns = [rich.TextColumn("[bold]{task.description}"), rich.BarColumn(), rich.MofNCompleteColumn()]
    columns += [rich.TimeElapsedColumn(), rich.TextColumn("left"), rich.TimeRemainingColumn()]
    columns += [rich.TextColumn("{task.fields[note]}")]
    quiet: dict[str, Any] = {"redirect_stdout": False, "redirect_stderr": False}
    ended = threading.Event()
    with rich.Progress(*columns, speed_estimate_period=60, **quiet) as progress:
        task = progress.add_task(name, total=steps, note="starting")

        def look() -> None:
            records = metric_log.read(store)
            if seen := [record for record in records if "loss" in record]:
                progress.update(task, completed=seen[-1]["step"], note=_note(seen, records))

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


def _note(seen: list[dict], records: list[dict]) -> str:
    recent = seen[-50:]
    per_second = sum(r.get("images", 0) for r in recent) / max(1e-9, sum(r["seconds"] for r in recent))
    scores = [r["validation"] for r in records if "validation" in r]
    score = f", val {METRICS[scores[-1]['metric']].name} {scores[-1]['mean']:.3f}" if scores else ""
    return f"loss {seen[-1]['loss']:.3f}, {per_second:.0f} img/s{score}"
