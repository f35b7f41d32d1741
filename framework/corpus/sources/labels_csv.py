"""`labels.csv`: one row per image, read as text and checked for contradictions."""

import csv
import io
import re
from collections import Counter

from framework.core.errors import CorpusError, nearest
from framework.core.rng import stable_seed
from framework.core.storage import Store
from framework.corpus.schema import SPLITS, LabelInfo

MOST_VALUES = 64
"""A column with more values than this is a measurement, not a label."""
STRUCTURE = ("id", "split", "group", "patient", "volume", "phase", "slice")
"""Columns that are no labels."""

Record = dict[str, str]
"""A row by column, with `group` and `split` filled in."""


def read_table(folder: Store) -> list[Record]:
    """The rows of `labels.csv` by id; raises `CorpusError` where there is none or it contradicts itself."""
    where = f"{folder.url}/labels.csv"
    if not folder.exists("labels.csv"):
        missing = "labels.csv" if folder.exists() else "folder"
        raise CorpusError(f"{folder.url}: no {missing} there; expected images/, masks/ and labels.csv")
    records = _parse(folder.read_bytes("labels.csv"), where)
    for record in records:
        record["group"] = record.get("group") or record.get("patient") or record["id"]
        record["split"] = record.get("split") or _hashed_split(record["group"])
    records.sort(key=lambda record: record["id"])
    _check_ids(records, where)
    _check_splits(records, where)
    return records


def label_infos(records: list[Record], chosen: list[str] | None) -> list[LabelInfo]:
    """The image-level labels: the chosen columns, or all that look like one. Raises `CorpusError`."""
    columns, infos = [column for column in records[0] if column not in STRUCTURE], []
    for name in columns if chosen is None else chosen:
        if name not in columns:
            raise CorpusError(f"labels.csv has no label column '{name}'{nearest(name, columns)}")
        if info := _label_info(name, {record[name] for record in records if record[name]}):
            infos.append(info)
        elif chosen is not None:
            needs = f"whole numbers from 0 to {MOST_VALUES - 1}, or at most {MOST_VALUES} different words"
            raise CorpusError(f"labels.csv: column '{name}' is no label: it needs {needs}")
    return infos


def label_value(text: str, info: LabelInfo) -> int:
    """Position among the label's values, -1 for unknown; `01` is 1."""
    value = str(int(text)) if re.fullmatch(r"-?\d+", text) else text
    return -1 if value in ("", "-1") else info.values.index(value)


def volume_of(record: Record) -> str | None:
    """Slices of one patient and phase stack to a volume, unless a column says otherwise."""
    if record.get("volume"):
        return record["volume"]
    if not record.get("slice"):
        return None
    return "-".join(part for part in (record["group"], record.get("phase", "")) if part)


def _parse(data: bytes, where: str) -> list[Record]:
    try:
        lines = list(csv.reader(io.StringIO(data.decode("utf-8-sig"), newline="")))
    except UnicodeDecodeError:
        raise CorpusError(f"{where}: not UTF-8 text; save it as CSV in UTF-8") from None
    except csv.Error as error:
        raise CorpusError(f"{where}: not readable as CSV ({error})") from None
    head, *rows = [[cell.strip() for cell in line] for line in lines if any(line)] or [[]]
    _check_shape(head, rows, where)
    return [{column: cell for column, cell in zip(head, row, strict=True) if column} for row in rows]


def _check_shape(head: list[str], rows: list[list[str]], where: str) -> None:
    if "id" not in head:
        hint = "; separate columns by commas" if len(head) == 1 and re.search(r"[;\t]", head[0]) else ""
        raise CorpusError(f"{where}: no column 'id'; it has: {', '.join(head) or 'none'}{hint}")
    twice = [column for column, times in Counter(head).items() if column and times > 1]
    if twice:
        raise CorpusError(f"{where}: column '{twice[0]}' occurs twice; rename or remove one")
    if not rows:
        raise CorpusError(f"{where}: no rows; it needs one row per image")
    for number, row in enumerate(rows, start=1):
        fault = "" if len(row) == len(head) else f"{len(row)} cells for {len(head)} columns"
        if fault or not row[head.index("id")]:
            raise CorpusError(f"{where}: row {number} has {fault or 'no id'}: {','.join(row)[:80]}")


def _hashed_split(group: str) -> str:
    draw = stable_seed(f"split:{group}") / 2**64
    return "train" if draw < 0.7 else "val" if draw < 0.8 else "test"


def _check_ids(records: list[Record], where: str) -> None:
    """Ids are unique, and so are the slices of a volume."""
    ids: set[str] = set()
    slices: dict[tuple[str | None, str], str] = {}
    for record in records:
        if record["id"] in ids:
            raise CorpusError(f"{where}: id '{record['id']}' occurs twice; ids must be unique")
        ids.add(record["id"])
        if number := record.get("slice"):
            volume = volume_of(record)
            other = slices.setdefault((volume, number), record["id"])
            if other != record["id"]:
                fault = f"ids '{other}' and '{record['id']}' are both slice {number} of volume '{volume}'"
                raise CorpusError(f"{where}: {fault}; tell the volumes apart by a column 'volume' or 'phase'")


def _check_splits(records: list[Record], where: str) -> None:
    """Splits are known, and no group lies in two."""
    splits: dict[str, str] = {}
    for record in records:
        name, group, split = record["id"], record["group"], record["split"]
        if split not in SPLITS:
            raise CorpusError(f"{where}: id '{name}' has split '{split}'{nearest(split, SPLITS)}")
        if split == "excluded":
            continue
        if (first := splits.setdefault(group, split)) != split:
            fault = f"group '{group}' is in two splits, '{first}' and '{split}' (id '{name}')"
            raise CorpusError(f"{where}: {fault}; a patient must stay in one")


def _label_info(name: str, values: set[str]) -> LabelInfo | None:
    """Whole numbers from 0 keep their value as id; words are numbered as sorted; None for all else."""
    if not values:
        return None
    if all(re.fullmatch(r"-?\d+", v) for v in values):
        numbers = {int(v) for v in values} - {-1}
        if not numbers or min(numbers) < 0 or max(numbers) >= MOST_VALUES:
            return None
        return LabelInfo(name=name, values=[str(v) for v in range(max(numbers) + 1)])
    if len(values) > MOST_VALUES or any(re.fullmatch(r"[-+]?[\d.]+(e-?\d+)?", v) for v in values):
        return None
    return LabelInfo(name=name, values=sorted(values))
