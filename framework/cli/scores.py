"""An evaluation's scores as tables in the terminal."""

from typing import Any

from rich.console import Console

from framework.evaluation.text import score_tables


def print_scores(summary: dict[str, Any]) -> None:
    """Tables of all that an evaluation measured."""
    for table in score_tables(summary):
        Console().print(table)
