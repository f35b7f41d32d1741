"""What long work tells whoever started it."""

from collections.abc import Callable

Log = Callable[[str], None]
"""Hears a line at a time."""

OnProgress = Callable[[int, int], None]
"""Hears how many rows of how many are done."""


def silent(done: int, total: int) -> None:
    """An `OnProgress` that shows nothing."""
