"""What commands print: names come from users, so that nothing in them is markup."""

from typing import Any


def show(*things: Any) -> None:
    """Print texts and tables as they are, whatever brackets and colons their cells hold."""
    from rich.console import Console

    Console(markup=False, emoji=False).print(*things)
