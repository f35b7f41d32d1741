from __future__ import annotations

import pytest
from rich.table import Table

from framework.cli.progress import progress
from framework.cli.terminal import show


def test_a_name_is_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    """`[/bold]` ended the command with a trace, `[red]` and `:cat:` were not to be seen."""
    table = Table("[/bold]head", title="[/b]title")
    table.add_row("[/bold]tumour [red] :cat:")
    show(table, "[/i]text")
    with progress("pack [/bold]{x}"):
        pass
    printed = capsys.readouterr().out
    for text in ("[/bold]head", "[/b]title", "[/bold]tumour [red] :cat:", "[/i]text", "pack [/bold]{x}"):
        assert text in printed
