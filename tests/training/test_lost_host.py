"""A training whose group waits for another host, without Ray."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from framework.core.interruption import Interrupted, Interruption
from framework.core.storage import Store
from framework.training.checkpoint import Checkpoint, save
from framework.training.ray_trainer import _fit


@pytest.fixture
def waiting() -> Any:
    """A trainer of Ray that waits for room until the test is over."""
    over = threading.Event()
    yield SimpleNamespace(fit=lambda: over.wait(60))
    over.set()


def test_a_signal_ends_the_wait_for_a_host_with_the_step_that_is_saved(waiting: Any, tmp_path: Path) -> None:
    store, interruption = Store.at(tmp_path), Interruption()
    for step in (20, 40):
        save(store / "checkpoints", Checkpoint(step, {}, {}, -1.0))
    interruption.note(signal.SIGTERM, None)
    hosts: Any = SimpleNamespace(look=lambda: None, is_awaited=lambda: True)
    with pytest.raises(Interrupted) as end:
        _fit(waiting, store, "stop", interruption, hosts)
    assert end.value.step == 40
