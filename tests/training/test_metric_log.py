from __future__ import annotations

import builtins
import errno
from pathlib import Path
from typing import Any

import pytest

from framework.core.errors import StorageError
from framework.core.storage import Store
from framework.training.metric_log import NAME, MetricLog, read

WHOLE = b'{"step": 1, "loss": 0.5}\n'
DAMAGED = {
    "half a line": b'{"step": 2, "lo',
    "not UTF-8": b'{"step": 2, "loss": "\xff\xfe"}',
    "zeros": bytes(40),
    "another shape": b"[1, 2]",
    "no step": b'{"loss": 0.5}',
    "a step of words": b'{"step": "two"}',
    "a value of words": b'{"step": 2, "loss": "low"}',
    "an unknown metric": b'{"step": 2, "validation": {"metric": "dize", "mean": 0.5}}',
    "a number of many digits": b'{"step": ' + b"9" * 5000 + b"}",
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_damaged_lines_are_passed_over_and_told_at_the_next_start(damage: str, tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(WHOLE + DAMAGED[damage] + b"\n" + WHOLE)
    store = Store.at(tmp_path)
    assert read(store) == [{"step": 1, "loss": 0.5}] * 2
    MetricLog(store, 1).close()
    *whole, notice = read(store)
    assert whole == [{"step": 1, "loss": 0.5}] * 2
    assert notice["notice"] == f"{tmp_path}/{NAME}: 1 damaged lines left out"


def test_a_last_line_that_a_crash_cut_off_is_no_damage(tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(WHOLE + WHOLE[:9])
    store = Store.at(tmp_path)
    MetricLog(store, 1).close()
    assert read(store) == [{"step": 1, "loss": 0.5}]


def test_lines_that_a_restart_repeats_are_dropped_and_what_it_says_is_kept(tmp_path: Path) -> None:
    store = Store.at(tmp_path)
    log = MetricLog(store, 0)
    log.write(*({"step": step, "loss": 0.5} for step in (1, 2, 3)))
    log.close()
    MetricLog(store, 2, ["passed over"]).close()
    assert read(store) == [
        {"step": 1, "loss": 0.5},
        {"step": 2, "loss": 0.5},
        {"step": 2, "notice": "passed over"},
    ]


def test_a_full_disk_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log, opened = MetricLog(Store.at(tmp_path), 0), builtins.open

    def full(file: Any, mode: str = "r", *others: Any, **settings: Any) -> Any:
        if mode == "a":
            raise OSError(errno.ENOSPC, "No space left on device")
        return opened(file, mode, *others, **settings)

    monkeypatch.setattr(builtins, "open", full)
    with pytest.raises(StorageError, match=rf"{NAME}: the log cannot be written \(No space left on device\)"):
        log.write({"step": 1, "loss": 0.5})
