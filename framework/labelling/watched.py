"""The batches of a pass, watched from outside: Ray Data may wait for ever for what lay on a lost host."""

import queue
import threading
import time
from collections.abc import Generator, Iterable
from typing import Any

from framework.cluster.lost_hosts import hosts

STALLED_S = 60.0
"""Seconds without a batch after which a pass that has lost a host counts as stopped."""
TICK_S = 1.0
"""Seconds between two looks at the hosts."""


class HostLost(Exception):
    """A pass has lost a host, and nothing comes any more."""


def watched(batches: Iterable[Any]) -> Generator[Any, None, None]:
    """The batches, taken in a thread of their own; raises what they raise, or `HostLost`."""
    come: queue.SimpleQueue[Any] = queue.SimpleQueue()
    left = threading.Event()
    threading.Thread(target=_take, args=(batches, come, left), daemon=True).start()
    (present, _), heard = hosts(), time.monotonic()
    try:
        while True:
            try:
                kind, value = come.get(timeout=TICK_S)
            except queue.Empty:
                alive, lost = hosts()
                present |= alive
                if present & lost and time.monotonic() - heard > STALLED_S:
                    raise HostLost from None
                continue
            if kind == "ended":
                return
            if kind == "raised":
                raise value
            heard = time.monotonic()
            yield value
    finally:
        left.set()


def _take(batches: Iterable[Any], come: "queue.SimpleQueue[Any]", left: threading.Event) -> None:
    try:
        for batch in batches:
            come.put(("batch", batch))
            if left.is_set():
                return
        come.put(("ended", None))
    except BaseException as error:
        come.put(("raised", error))
