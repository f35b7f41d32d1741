"""Which columns of a table are image-level labels, and why the others are not."""

import re
from collections.abc import Iterable

from framework.core.errors import CorpusError, nearest
from framework.corpus.schema import LabelInfo
from framework.corpus.sources.spacing_columns import looks_like_spacing

MOST_VALUES = 64
"""A column with more values than this is a measurement, not a label."""
_WHOLE = re.compile(r"([+-]?\d{1,18})(\.0*|,0{1,2})?", re.ASCII)
_NUMBER = re.compile(r"[+-]?(\d+[.,]?\d*|[.,]\d+)(e[+-]?\d+)?|[+-]?inf(inity)?", re.ASCII | re.IGNORECASE)


def find_labels(
    rows: list[dict[str, str]], columns: Iterable[str], chosen: list[str] | None
) -> tuple[list[LabelInfo], list[str]]:
    """The labels, of `columns`, that are chosen, or of all that look like one; and why others are left out.

    An empty cell is unknown. Raises `CorpusError` where a chosen column is none.
    """
    columns, infos, notes = list(columns), [], []
    for name in columns if chosen is None else chosen:
        if name not in columns:
            raise CorpusError(f"labels.csv has no label column '{name}'{nearest(name, columns)}")
        info = label_info(name, {row[name] for row in rows if row[name]})
        if isinstance(info, LabelInfo):
            infos.append(info)
            notes += _by_case(info)
        elif chosen is not None:
            raise CorpusError(f"labels.csv: column '{name}' is no label: {info}")
        else:
            notes.append(f"column '{name}' is left out: {info}")
    others = [name for name in columns if chosen is not None and name not in chosen]
    return infos, notes + [
        f"column '{name}' is left out: it is not among the chosen labels" for name in others
    ]


def label_info(name: str, cells: set[str]) -> LabelInfo | str:
    """The label that a column of these known cells is, or why it is none.

    Whole numbers from 0 keep their value as id (`01` and `1.0` are 1); words are numbered as sorted.
    """
    if looks_like_spacing(re.sub(r"[\W_]", "", name.lower())):
        return "it looks like a spacing; if it is one, in mm, name it spacing_x, spacing_y or spacing_z"
    words = sorted(cell for cell in cells if not _NUMBER.fullmatch(cell))
    if not cells:
        return "it holds no value"
    if words and len(words) < len(cells):
        return f"it mixes words and numbers, such as '{words[0]:.20}' and '{min(cells - set(words)):.20}'"
    if words:
        limit = f"it has {len(words)} different words, and a label at most {MOST_VALUES}"
        return limit if len(words) > MOST_VALUES else LabelInfo(name=name, values=words)
    numbers = {cell: whole_number(cell) for cell in sorted(cells)}
    for cell, number in numbers.items():
        if number is None or not -1 <= number < MOST_VALUES:
            return f"its numbers are not all whole ones from 0 to {MOST_VALUES - 1}, such as '{cell:.20}'"
    highest = max(number for number in numbers.values() if number is not None)
    if highest < 0:
        return "it holds no value but -1, which is unknown"
    return LabelInfo(name=name, values=[str(value) for value in range(highest + 1)])


def label_value(text: str, info: LabelInfo) -> int:
    """Position among the label's values, -1 for unknown."""
    number = whole_number(text)
    if not text or number == -1:
        return -1
    return info.values.index(text if number is None else str(number))


def whole_number(text: str) -> int | None:
    """The whole number that a cell says: `01` and `1.0` are 1; None for all else and more than 18 digits."""
    match = _WHOLE.fullmatch(text)
    return int(match[1]) if match else None


def _by_case(info: LabelInfo) -> list[str]:
    """Words that only their case tells apart are most often meant as one."""
    seen: dict[str, str] = {}
    return [
        f"column '{info.name}': '{seen[word.lower()]}' and '{word}' are two values; write them alike if not"
        for word in info.values
        if seen.setdefault(word.lower(), word) != word
    ]
