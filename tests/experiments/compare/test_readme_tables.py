from __future__ import annotations

import pytest

from configs.compare.tables import filled

TEXT = "before\n<!-- table a-val -->\nold\n| 1 |\n<!-- end -->\nbetween\n"
TEXT += "<!-- table b-val -->\n<!-- end -->\nafter"


def test_a_table_replaces_what_stands_between_its_marks_alone() -> None:
    text = filled(filled(TEXT, "a-val", "new \\1\n"), "b-val", "| 2 |")
    first, second = "<!-- table a-val -->\nnew \\1\n<!-- end -->", "<!-- table b-val -->\n| 2 |\n<!-- end -->"
    assert text == f"before\n{first}\nbetween\n{second}\nafter"
    assert filled(text, "a-val", "new \\1") == text


def test_a_table_without_marks_is_named() -> None:
    with pytest.raises(SystemExit, match="no marks for 'c-val'"):
        filled(TEXT, "c-val", "x")
