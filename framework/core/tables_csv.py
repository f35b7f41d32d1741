"""Tables for spreadsheets: CSV whose texts are texts, also where they begin like a formula."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""How a cell begins that a spreadsheet would compute, or run: an id such as `=cmd|' /C calc'!A0`."""


def csv_text(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """One line per row below the names of the columns; None is an empty field.

    A text that begins like a formula gets an apostrophe before it; numbers stay as they are.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([_cell(name) for name in columns])
    writer.writerows([_cell(row.get(name)) for name in columns] for row in rows)
    return buffer.getvalue()


def _cell(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value
