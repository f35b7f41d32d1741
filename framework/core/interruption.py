"""Ctrl-C and SIGTERM during work that can be saved: noted, so that it ends at its next good moment."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType


class Interrupted(Exception):
    """Work that a signal ended early, with what it had done saved: a training after so many steps."""

    def __init__(self, step: int) -> None:
        super().__init__(step)
        self.step = step
        self.signal = signal.SIGINT


class Interruption:
    """What signals have asked of this process: the first one is noted, a second Ctrl-C ends at once."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None

    def is_asked(self) -> bool:
        return self.signal is not None

    def note(self, number: int, frame: FrameType | None) -> None:
        """The handler of both signals; raises `KeyboardInterrupt` at a second Ctrl-C."""
        if number == signal.SIGINT and self.is_asked():
            raise KeyboardInterrupt
        self.signal = self.signal or signal.Signals(number)


@contextlib.contextmanager
def interruptible() -> Iterator[Interruption]:
    """In the block signals are noted; `Interrupted` passes through and learns by which signal.

    Outside the main thread, as in a trial of a search, signals are the business of others.
    """
    interruption = Interruption()
    with contextlib.ExitStack() as stack:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                if signal.getsignal(number) != signal.SIG_IGN:  # as for a job in the background of a shell
                    stack.callback(signal.signal, number, signal.signal(number, interruption.note))
        try:
            yield interruption
        except Interrupted as end:
            end.signal = interruption.signal or end.signal
            raise
