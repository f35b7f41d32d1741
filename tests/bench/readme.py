"""Puts the tables of finished comparisons into the README, each between the marks of its name.

    python -m tests.bench.readme comparisons/acdc/acdc-test [...]

The README has a line `<!-- table acdc-test -->` and, after the table's place, `<!-- end -->`.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"


def main(folders: list[str]) -> None:
    text = README.read_text(encoding="utf-8")
    for folder in map(Path, folders):
        text = with_table(text, folder.name, (folder / "table.md").read_text(encoding="utf-8"))
    README.write_text(text, encoding="utf-8")


def with_table(text: str, name: str, table: str) -> str:
    """The text with this table in its place; raises `SystemExit` when it has none."""
    marks = re.compile(rf"(<!-- table {re.escape(name)} -->\n).*?(<!-- end -->)", re.DOTALL)
    if not marks.search(text):
        raise SystemExit(f"README.md has no place for '{name}': add '<!-- table {name} -->' and '<!-- end -->'")
    return marks.sub(lambda found: f"{found[1]}{table.strip()}\n\n{found[2]}", text)


if __name__ == "__main__":
    main(sys.argv[1:])
