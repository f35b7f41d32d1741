"""Put the tables of finished comparisons into the README of this folder, between their marks.

    python configs/compare/tables.py FOLDER [FOLDER …]

FOLDER is what `scantseg compare` writes, such as comparisons/acdc/acdc-test; its table replaces what
stands between `<!-- table acdc-test -->` and `<!-- end -->`.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

README = Path(__file__).with_name("README.md")


def main(folders: list[Path]) -> None:
    text = README.read_text(encoding="utf-8")
    for folder in folders:
        text = filled(text, folder.name, (folder / "table.md").read_text(encoding="utf-8"))
    README.write_text(text, encoding="utf-8")


def filled(text: str, name: str, table: str) -> str:
    """A text with a table between the marks of its name; raises `SystemExit` when they are not there."""
    marks = re.compile(rf"(<!-- table {re.escape(name)} -->\n).*?(<!-- end -->)", re.DOTALL)
    if not marks.search(text):
        raise SystemExit(f"README.md has no marks for '{name}': <!-- table {name} --> and <!-- end -->")
    return marks.sub(lambda mark: f"{mark[1]}{table.strip()}\n{mark[2]}", text)


if __name__ == "__main__":
    main([Path(folder) for folder in sys.argv[1:]])
