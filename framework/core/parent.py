"""Processes that do not outlive the one that started them, not even when it is killed."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

CHILD = "from framework.core.parent import die_with_parent; die_with_parent(); {}"


@contextlib.contextmanager
def child(code: str, *words: str) -> Iterator[subprocess.Popen[str]]:
    """A Python process that runs `code` with those arguments, in a session of its own, so that Ctrl-C reaches
    its parent alone; its stderr is a pipe, its stdout this process's stderr."""
    theirs, ours = os.pipe()
    command = [sys.executable, "-c", CHILD.format(code), *words]
    process = subprocess.Popen(
        command, stdin=theirs, stdout=2, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    os.close(theirs)
    try:
        yield process
    finally:
        os.close(ours)


def die_with_parent() -> None:
    """Kill this process when its standard input ends: the parent holds the other end of that pipe, writes
    nothing, and lets go only when it ends."""

    def watch() -> None:
        os.read(0, 1)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()
