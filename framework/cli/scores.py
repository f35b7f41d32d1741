"""An evaluation's scores as tables in the terminal."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from framework.evaluation.text import score_tables


def print_scores(summary: dict[str, Any]) -> None:
    """Tables of all that an evaluation measured."""
    for scores in score_tables(summary):
        table = Table(*scores.heads, title=scores.title)
        for row in scores.rows:
            table.add_row(*row)
        Console().print(table)
