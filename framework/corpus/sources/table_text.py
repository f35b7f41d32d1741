"""A table as people save it: the encoding and the delimiter of its text are recognised, and said."""

import csv
import io
import re
import unicodedata
from collections.abc import Callable
from typing import NamedTuple

from framework.core.errors import CorpusError

DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}


class Text(NamedTuple):
    """The cells of a table, stripped of blanks and in composed Unicode (NFC); empty rows are left out."""

    head: list[str]
    rows: list[list[str]]
    notes: list[str]
    """What was recognised, where it is not UTF-8 with commas."""


def read_text(data: bytes, where: str, meaning: Callable[[str], str]) -> Text:
    """A table with a column whose `meaning` is "id"; raises `CorpusError` where it is none."""
    text, encoding = _decoded(data, where)
    text, delimiter = _delimited(unicodedata.normalize("NFC", text), meaning)
    try:
        lines = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
    except csv.Error as error:
        raise CorpusError(f"{where}: not readable as CSV ({error})") from None
    head, *rows = [[cell.strip() for cell in line] for line in lines if any(line)] or [[]]
    notes = [f"labels.csv is read as {encoding} text"] if encoding != "utf-8-sig" else []
    if delimiter != ",":
        notes.append(f"labels.csv is read as separated by {DELIMITERS.get(delimiter, repr(delimiter))}")
    return Text(head, rows, notes)


def _decoded(data: bytes, where: str) -> tuple[str, str]:
    """The text and its encoding: by its first bytes, by its share of zero bytes, else UTF-8, then cp1252."""
    encodings = ["utf-8-sig", "cp1252"]
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        encodings = ["utf-16"]
    elif data.count(0) * 3 > len(data):  # ASCII characters of two bytes each
        encodings = ["utf-16-be" if data[:1] == b"\0" else "utf-16-le"]
    for encoding in encodings:
        try:
            return data.decode(encoding), encoding
        except UnicodeDecodeError:
            continue
    raise CorpusError(f"{where}: not {' or '.join(encodings)} text; save it as CSV in UTF-8")


def _delimited(text: str, meaning: Callable[[str], str]) -> tuple[str, str]:
    """The text and what separates its columns: the sign that makes most of the head, an id among them."""
    if said := re.match(r"sep=(.)[\r\n]+", text):  # a line that spreadsheets write and read
        return text[said.end() :], said[1]
    first = next((line for line in re.split(r"[\r\n]+", text) if line.strip()), "")
    heads = {sign: _cells(first, sign) for sign in DELIMITERS}
    fitting = [sign for sign, head in heads.items() if "id" in map(meaning, head)]
    return text, max(fitting or [","], key=lambda sign: len(heads[sign]))


def _cells(line: str, delimiter: str) -> list[str]:
    try:
        return [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter), [])]
    except csv.Error:
        return []
