"""`labels.csv`: one row per image, read as text and checked for contradictions."""

import re
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

from framework.core.errors import CorpusError, nearest
from framework.core.rng import stable_seed
from framework.core.storage import Store
from framework.corpus.schema import SPLITS
from framework.corpus.sources import spacing_columns
from framework.corpus.sources.label_columns import whole_number
from framework.corpus.sources.table_text import Text, read_text

STRUCTURE = ("id", "split", "group", "patient", "volume", "phase", "slice", *spacing_columns.COLUMNS)
"""Columns that are no labels."""
SPELLINGS = {
    **{name.replace("_", ""): name for name in STRUCTURE},
    **dict.fromkeys(("patientid", "subject", "subjectid"), "patient"),
    **{"groupid": "group", "volumeid": "volume", "slicenumber": "slice", "sliceindex": "slice"},
    **spacing_columns.spellings(),
}
"""The column of `STRUCTURE` that a name stands for, without regard to case and all but letters and digits."""
UNKNOWN = ("", "na", "n/a", "#n/a", "<na>", "nan", "none", "null")
"""Cells that say nothing, in any case."""
MOST_SLICES = 2**31 - 1

Record = dict[str, str]
"""A row by column, with `group` and `split` filled in; a cell that says nothing is empty."""


class Table(NamedTuple):
    """The rows by id, the columns that are none of `STRUCTURE`, and what was found in the reading."""

    records: list[Record]
    others: list[str]
    notes: list[str]


def read_table(folder: Store) -> Table:
    """`labels.csv` of a folder; raises `CorpusError` where there is none or it contradicts itself."""
    where = f"{folder.url}/labels.csv"
    if not folder.exists("labels.csv"):
        missing = "labels.csv" if folder.exists() else "folder"
        raise CorpusError(f"{folder.url}: no {missing} there; expected images/, masks/ and labels.csv")
    text = read_text(folder.read_bytes("labels.csv"), where, meaning)
    head = [meaning(column) for column in text.head]
    _check_shape(head, text, where)
    rows = [{column: cell for column, cell in zip(head, row, strict=True) if column} for row in text.rows]
    records = [_known(row) for row in rows]
    _fill(records, where)
    records.sort(key=lambda record: record["id"])
    _check_ids(records, where)
    _check_volumes(records, where)
    _check_splits(records, where)
    others = [column for column in head if column and column not in STRUCTURE]
    found = [*_renamed(text.head), *_unnamed(text), *_idle(records), *_spelled(rows, others)]
    return Table(records, others, [*text.notes, *found])


def meaning(column: str) -> str:
    """The column of `STRUCTURE` that a column's name stands for, else the name itself."""
    return SPELLINGS.get(re.sub(r"[\W_]", "", column.lower()), column)


def volume_of(record: Record) -> str | None:
    """Slices of one patient and phase stack to a volume, unless a column says otherwise."""
    if record.get("volume"):
        return record["volume"]
    if not record.get("slice"):
        return None
    return "-".join(part for part in (record["group"], record.get("phase", "")) if part)


def slice_of(record: Record) -> int | None:
    """The number of a slice, None where the image has none or it is no number of a slice."""
    number = whole_number(record.get("slice", ""))
    return number if number is not None and 0 <= number <= MOST_SLICES else None


def _check_shape(head: list[str], text: Text, where: str) -> None:
    if "id" not in head:
        raise CorpusError(f"{where}: no column 'id'; it has: {', '.join(text.head) or 'none'}")
    twice = [column for column, times in Counter(head).items() if column and times > 1]
    if twice:
        spelled = ", ".join(
            f"'{name}'" for name, column in zip(text.head, head, strict=True) if column in twice
        )
        raise CorpusError(f"{where}: column '{twice[0]}' occurs twice ({spelled}); rename or remove one")
    if not text.rows:
        raise CorpusError(f"{where}: no rows; it needs one row per image")
    for number, row in enumerate(text.rows, start=1):
        fault = "" if len(row) == len(head) else f"{len(row)} cells for {len(head)} columns"
        if fault or not row[head.index("id")]:
            raise CorpusError(f"{where}: row {number} has {fault or 'no id'}: {','.join(row)[:80]}")


def _known(row: Record) -> Record:
    """A row whose cells that say nothing are empty; an id is an id, whatever it says."""
    return {name: "" if name != "id" and cell.lower() in UNKNOWN else cell for name, cell in row.items()}


def _fill(records: list[Record], where: str) -> None:
    """Give each record its group and its split."""
    splits = [bool(record.get("split")) for record in records]
    if any(splits) and not all(splits):
        name = records[splits.index(False)]["id"]
        raise CorpusError(f"{where}: id '{name}' has no split, and others have one; fill in all, or none")
    for record in records:
        names = (record.get(column) for column in ("group", "patient", "volume", "id"))
        record["group"] = next(name for name in names if name)
        record["split"] = record.get("split") or _hashed_split(record["group"])


def _hashed_split(group: str) -> str:
    draw = stable_seed(f"split:{group}") / 2**64
    return "train" if draw < 0.7 else "val" if draw < 0.8 else "test"


def _check_ids(records: list[Record], where: str) -> None:
    for one, other in pairwise(records):
        if one["id"] == other["id"]:
            raise CorpusError(f"{where}: id '{one['id']}' occurs twice; ids must be unique")


def _check_volumes(records: list[Record], where: str) -> None:
    """A volume is of one group, and each of its slices has a number of its own."""
    slices: dict[tuple[str, int], str] = {}
    groups: dict[str, Record] = {}
    for record in records:
        if (volume := volume_of(record)) is None:
            continue
        _check_slice(record, volume, where)
        name, number = record["id"], slice_of(record)
        if number is not None and (other := slices.setdefault((volume, number), name)) != name:
            fault = f"ids '{other}' and '{name}' are both slice {number} of volume '{volume}'"
            raise CorpusError(f"{where}: {fault}; tell the volumes apart by a column 'volume' or 'phase'")
        first = groups.setdefault(volume, record)
        if first["group"] != record["group"]:
            fault = f"volume '{volume}' is in two groups, '{first['group']}' (id '{first['id']}')"
            mend = "a volume is of one patient; name volumes apart by the column 'volume'"
            raise CorpusError(f"{where}: {fault} and '{record['group']}' (id '{name}'); {mend}")


def _check_slice(record: Record, volume: str, where: str) -> None:
    """A slice without its number has no place in its volume, and a number alone makes no volume."""
    fault = ""
    if not record.get("slice"):
        fault = f"of volume '{volume}' has no slice number"
        mend = "number all slices in the column 'slice', or name the column 'group' if it tells no volumes"
    elif not any(record.get(column) for column in ("volume", "patient")) and record["group"] == record["id"]:
        fault = "has a slice number and is of no volume"
        mend = "add a column 'volume' or 'patient', or leave 'slice' out"
    if fault:
        raise CorpusError(f"{where}: id '{record['id']}' {fault}; {mend}")


def _check_splits(records: list[Record], where: str) -> None:
    """Splits are known, and no group, patient or volume lies in two."""
    splits: dict[tuple[str, str], str] = {}
    for record in records:
        name, split = record["id"], record["split"]
        if split not in SPLITS:
            raise CorpusError(f"{where}: id '{name}' has split '{split}'{nearest(split, SPLITS)}")
        if split == "excluded":
            continue
        for column, value in _owners(record):
            if (first := splits.setdefault((column, value), split)) != split:
                fault = f"{column} '{value}' is in two splits, '{first}' and '{split}' (id '{name}')"
                raise CorpusError(f"{where}: {fault}; a patient must stay in one")


def _owners(record: Record) -> Iterator[tuple[str, str]]:
    """What must not lie in two splits, by column."""
    for column in ("group", "patient", "volume"):
        if value := record.get(column):
            yield column, value


def _renamed(head: list[str]) -> list[str]:
    names = [(column, meaning(column)) for column in head]
    return [f"column '{column}' is read as '{name}'" for column, name in names if column != name]


def _unnamed(text: Text) -> list[str]:
    empty = [
        place for place, name in enumerate(text.head) if not name and any(row[place] for row in text.rows)
    ]
    return [f"column {place + 1} is left out: it has no name" for place in empty]


def _idle(records: list[Record]) -> list[str]:
    """Phases tell the volumes of a patient apart, and nothing else."""
    phases = any(record.get("phase") for record in records)
    used = any(record.get("slice") and not record.get("volume") for record in records)
    return ["column 'phase' is left out: it is for slices without a volume"] if phases and not used else []


def _spelled(rows: list[Record], columns: list[str]) -> list[str]:
    """A word for "unknown" may be meant as a category, such as a grade 'none'."""
    found = Counter((name, row[name]) for name in columns for row in rows if _is_spelled(row[name]))
    return [f"column '{name}': '{word}' is unknown ({n} rows)" for (name, word), n in found.items()]


def _is_spelled(cell: str) -> bool:
    return cell.lower() in ("none", "null")
