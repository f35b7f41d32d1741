"""A wait of which one hears now and then, and that has an end."""

import sys
import time

from framework.core.callbacks import Log

LINE_S = 60.0
"""Seconds between two lines."""


class Wait:
    """Says `waiting for 1 CPU: 2 min of 30; …`, first after `patience` seconds."""

    def __init__(self, what: str, minutes: float, log: Log, patience: float) -> None:
        self.what, self.minutes, self.log = what, minutes, log
        self.begun = time.monotonic()
        self.due = self.begun + patience

    def is_over(self) -> bool:
        return time.monotonic() - self.begun > 60 * self.minutes

    def say(self, why: str = "") -> None:
        """Say it if it is time to."""
        now = time.monotonic()
        if now >= self.due:
            self.due = now + LINE_S
            passed = f"{int((now - self.begun) / 60)} min of {self.minutes:g}"
            self.log(f"{self.what}: {passed}" + (f"; {why}" if why else ""))


def say(line: str) -> None:
    """To those who watch the job, beside what it prints."""
    print(line, file=sys.stderr, flush=True)
