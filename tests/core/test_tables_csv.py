from __future__ import annotations

import csv
import io

from framework.core.tables_csv import csv_text


def test_a_text_that_begins_like_a_formula_stays_a_text() -> None:
    ids = ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "\t=1", "a=b", "p01"]
    rows = [{"case": name, "dice": -0.5, "none": None} for name in ids]
    read = list(csv.DictReader(io.StringIO(csv_text(rows, ["case", "dice", "none"]))))
    assert [row["case"] for row in read] == [*(f"'{name}" for name in ids[:5]), "a=b", "p01"]
    assert {(row["dice"], row["none"]) for row in read} == {("-0.5", "")}
    assert csv_text([], ["=class"]) == "'=class\n"
