"""What code cites of the methods' equations is there to be read."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = ROOT / "framework/methods/README.md"
NUMBER = r"\d+(?:\.\d+)?"
CITATION = re.compile(rf"[Mm]ethods/README\s+({NUMBER}(?:(?:, | and | to )\d+\.\d+)*)")


def cited() -> dict[str, str]:
    """A file that cites it, by section."""
    files = [path for folder in ("framework", "tests", "configs") for path in (ROOT / folder).rglob("*.py")]
    sections = {}
    for path in files:
        text = re.sub(r"\s+(#\s*)?", " ", path.read_text())
        sections |= {
            number: path.name for match in CITATION.findall(text) for number in re.findall(NUMBER, match)
        }
    return sections


def headings() -> set[str]:
    return set(re.findall(rf"^#+ ({NUMBER})\.? ", README.read_text(), re.MULTILINE))


def test_every_citation_has_its_heading() -> None:
    missing = {number: file for number, file in cited().items() if number not in headings()}
    assert len(cited()) > 25 and missing == {}


def test_nothing_cites_what_is_not_in_the_tree() -> None:
    text = "".join(path.read_text() for path in (ROOT / "framework").rglob("*.py"))
    assert "methods" + ".md" not in text
