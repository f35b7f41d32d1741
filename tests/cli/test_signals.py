"""Ctrl-C and SIGTERM during a training, in real processes."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from framework.core.storage import Store
from framework.training.checkpoint import latest
from framework.training.config import load_train
from tests.contract.support import build

TRAIN = [sys.executable, "-m", "framework.cli", "train"]


def start(recipe: Path, *overrides: str) -> tuple[subprocess.Popen[str], str]:
    """A training that would last for long, and its command as it was typed."""
    words = [str(recipe), "train.steps=100000", *overrides]
    running = subprocess.Popen(
        [*TRAIN, *words],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    return running, " ".join(["python", *TRAIN[1:], *words])


def end(running: subprocess.Popen[str], log: Path, number: signal.Signals) -> str:
    """What it said when the signal came after some steps."""
    deadline = time.monotonic() + 120
    while not (log.exists() and log.read_text().count("\n") > 20):
        assert running.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    running.send_signal(number)
    return running.communicate(timeout=60)[1].strip()


@pytest.mark.parametrize(
    ("number", "code", "word"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]
)
def test_a_signal_saves_and_names_the_command_that_continues(
    number: signal.Signals, code: int, word: str, recipe: Path, tmp_path: Path
) -> None:
    running, command = start(recipe)
    said = end(running, tmp_path / "runs/tiny/metrics.jsonl", number)
    run = load_train(recipe, ["train.steps=100000"])
    saved = latest(Store.at(tmp_path / "runs/tiny/checkpoints"), build(run).identity)
    assert saved is not None and saved.step > 20
    assert said == f"{word} after step {saved.step}, which is saved; to continue: {command}"
    assert running.returncode == code
