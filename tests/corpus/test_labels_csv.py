from __future__ import annotations

import csv
import io
import unicodedata
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from framework.core.errors import CorpusError
from framework.core.storage import Store
from framework.corpus.schema import LabelInfo
from framework.corpus.sources.label_columns import find_labels, label_value
from framework.corpus.sources.labels_csv import Record, Table, read_table, volume_of


def whole_table(folder: Path, text: str | bytes) -> Table:
    (folder / "labels.csv").write_bytes(text.encode() if isinstance(text, str) else text)
    return read_table(Store.at(folder))


def table(folder: Path, text: str | bytes) -> list[Record]:
    return whole_table(folder, text).records


def labels(rows: list[dict[str, str]], chosen: list[str] | None = None) -> list[LabelInfo]:
    return find_labels(rows, rows[0], chosen)[0]


def test_rows_come_by_id_with_group_and_split(tmp_path: Path) -> None:
    rows = table(tmp_path, "\ufeffid, split ,patient\r\nb,train,p1\r\n\r\na, val ,p2\r\n,,\r\n")
    assert rows == [
        {"id": "a", "split": "val", "patient": "p2", "group": "p2"},
        {"id": "b", "split": "train", "patient": "p1", "group": "p1"},
    ]


def test_without_a_split_patients_are_shared_out_by_a_hash(tmp_path: Path) -> None:
    rows = table(tmp_path, "id,group\n" + "".join(f"i{i},g{i // 2}\n" for i in range(4000)))
    by_group = {}
    for row in rows:
        assert by_group.setdefault(row["group"], row["split"]) == row["split"]
    shares = [list(by_group.values()).count(split) / 2000 for split in ("train", "val", "test")]
    assert shares == pytest.approx([0.7, 0.1, 0.2], abs=0.04)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no column 'id'; it has: none"),
        ("\n\n", "no column 'id'; it has: none"),
        ("id,split\n", "no rows; it needs one row per image"),
        ("name;split\na;train\n", "no column 'id'; it has: name;split"),
        ("id,ID\na,b\n", "column 'id' occurs twice ('id', 'ID'); rename or remove one"),
        ("id,split\na,train\nb\n", "row 2 has 1 cells for 2 columns: b"),
        ("id,split\na,train,x\n", "row 1 has 3 cells for 2 columns"),
        ("id,split\n ,train\n", "row 1 has no id"),
        ("id,grade,grade\na,1,2\n", "column 'grade' occurs twice"),
        ("id,split\na,train\na,val\n", "id 'a' occurs twice"),
        ("id,split\na,trian\n", "id 'a' has split 'trian'; did you mean 'train'?"),
        ("id,split,group\na,train,p\nb,test,p\n", "group 'p' is in two splits, 'train' and 'test'"),
        ("id,patient,slice\na,p,1\nb,p,1\n", "ids 'a' and 'b' are both slice 1 of volume 'p'"),
        ("id,patient,slice\na,p,1\nb,p,1.0\n", "ids 'a' and 'b' are both slice 1 of volume 'p'"),
        ("id,split,patient\na,train,p\nb,test,p\n", "group 'p' is in two splits, 'train' and 'test'"),
        ("id,split,volume,slice\na,train,v,1\nb,test,v,2\n", "group 'v' is in two splits"),
        (
            "id,split,group,patient\na,train,g,p\nb,test,h,p\n",
            "patient 'p' is in two splits, 'train' and 'test' (id 'b'); a patient must stay in one",
        ),
        (
            "id,split,group,volume,slice\na,train,g,v,1\nb,train,h,v,2\n",
            "volume 'v' is in two groups, 'g' (id 'a') and 'h' (id 'b'); a volume is of one patient",
        ),
        ("id,volume,slice\na,v,1\nb,v,\n", "id 'b' of volume 'v' has no slice number; number all slices"),
        ("id,volume,slice\na,v,1\nb,v,NA\n", "id 'b' of volume 'v' has no slice number"),
        ("id,volume\na,v\n", "id 'a' of volume 'v' has no slice number"),
        ("id,slice\na,1\n", "id 'a' has a slice number and is of no volume; add a column 'volume'"),
        ("id,split\na,train\nb,\n", "id 'b' has no split, and others have one; fill in all, or none"),
        ("id,name\na,\x81\n".encode("latin-1"), "not utf-8-sig or cp1252 text; save it as CSV in UTF-8"),
        ("id\n" + "x" * 200_000, "not readable as CSV"),
    ],
)
def test_a_table_that_contradicts_itself_says_where(text: str | bytes, reason: str, tmp_path: Path) -> None:
    with pytest.raises(CorpusError) as caught:
        table(tmp_path, text)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    cells=st.lists(
        st.sampled_from(["id", "split", "slice", "a", "b", "train", "\n", ",", '"', ";", "1", "\0", "\r"])
    )
)
def test_any_other_text_is_a_table_or_an_error_that_names_the_file(cells: list[str], tmp_path: Path) -> None:
    try:
        rows = table(tmp_path, "id,split\n" + "".join(cells))
    except CorpusError as error:
        assert str(error).startswith(f"{tmp_path}/labels.csv: ")
    else:
        assert all(row["id"] and row["group"] and row["split"] for row in rows)


def test_excluded_rows_may_share_a_group_with_others(tmp_path: Path) -> None:
    assert len(table(tmp_path, "id,split,group\na,train,p\nb,excluded,p\n")) == 2


def test_slices_of_a_patient_and_phase_are_a_volume() -> None:
    assert volume_of({"id": "a", "group": "p1", "slice": "3"}) == "p1"
    assert volume_of({"id": "a", "group": "p1", "phase": "ED", "slice": "3"}) == "p1-ED"
    assert volume_of({"id": "a", "group": "p1", "volume": "v", "slice": "3"}) == "v"
    assert volume_of({"id": "a", "group": "p1"}) is None


@pytest.mark.parametrize(
    ("columns", "group"),
    [
        ({"group": "g", "patient": "p", "volume": "v", "slice": "1"}, "g"),
        ({"group": "", "patient": "p", "volume": "v", "slice": "1"}, "p"),
        ({"patient": "n/a", "volume": "v", "slice": "1"}, "v"),
        ({"patient": "NaN"}, "007"),
        ({"Subject ID": "p"}, "p"),
    ],
)
def test_a_group_is_the_group_else_the_patient_else_the_volume_else_the_id(
    columns: dict[str, str], group: str, tmp_path: Path
) -> None:
    text = f"id,{','.join(columns)}\n007,{','.join(columns.values())}\n"
    assert [(row["id"], row["group"]) for row in table(tmp_path, text)] == [("007", group)]


def test_columns_of_few_whole_numbers_or_words_are_labels() -> None:
    rows = [
        {
            "grade": f"{i % 3}.0",
            "code": f"0{i % 2}",
            "word": "xy"[i % 2],
        }
        | {"share": f"{i}.5", "pixels": str(i * 10), "uuid": f"u{i}", "blank": "", "unknown": "-1"}
        | {
            "long": "1" * 30,
            "mixed": "a1"[i % 2],
            "slice_thickness": "5",
            "comma": f"{i},5",
            "endless": "-inf",
        }
        for i in range(70)
    ]
    infos, notes = find_labels(rows, rows[0], None)
    values_of = {info.name: info.values for info in infos}
    assert values_of == {"grade": ["0", "1", "2"], "code": ["0", "1"], "word": ["x", "y"]}
    numbers = "its numbers are not all whole ones from 0 to 63, such as"
    assert notes == [
        f"column 'share' is left out: {numbers} '0.5'",
        f"column 'pixels' is left out: {numbers} '100'",
        "column 'uuid' is left out: it has 70 different words, and a label at most 64",
        "column 'blank' is left out: it holds no value",
        "column 'unknown' is left out: it holds no value but -1, which is unknown",
        f"column 'long' is left out: {numbers} '11111111111111111111'",
        "column 'mixed' is left out: it mixes words and numbers, such as 'a' and '1'",
        "column 'slice_thickness' is left out: it looks like a spacing; if it is one, in mm, name it"
        " spacing_x, spacing_y or spacing_z",
        f"column 'comma' is left out: {numbers} '0,5'",
        f"column 'endless' is left out: {numbers} '-inf'",
    ]
    assert [info.name for info in labels(rows, ["word"])] == ["word"]
    assert (
        "column 'grade' is left out: it is not among the chosen labels"
        in find_labels(rows, rows[0], ["word"])[1]
    )


def test_words_that_only_case_tells_apart_are_told() -> None:
    rows = [{"sex": "m"}, {"sex": "M"}, {"sex": "f"}]
    assert find_labels(rows, ["sex"], None)[1] == [
        "column 'sex': 'M' and 'm' are two values; write them alike if not"
    ]


def test_a_chosen_column_must_be_a_label() -> None:
    rows = [{"id": "a", "split": "train", "group": "a", "grade": "1", "share": "0.5"}]
    with pytest.raises(CorpusError, match="no label column 'grad'; did you mean 'grade'"):
        labels(rows, ["grad"])
    with pytest.raises(CorpusError, match="column 'share' is no label: its numbers are not all whole"):
        labels(rows, ["share"])


def test_cells_that_say_nothing_are_empty_and_those_that_may_be_meant_are_told(tmp_path: Path) -> None:
    blanks = ["NA", "nan", "None", "N/A", "null", "#N/A", "", "NULL"]
    read = whole_table(tmp_path, "id,Grade\n" + "".join(f"na{i},{cell}\n" for i, cell in enumerate(blanks)))
    assert [(row["id"], row["Grade"]) for row in read.records] == [(f"na{i}", "") for i in range(8)]
    assert read.notes == [
        f"column 'Grade': '{word}' is unknown (1 rows)" for word in ("None", "null", "NULL")
    ]


def test_what_is_read_otherwise_than_written_is_told(tmp_path: Path) -> None:
    read = whole_table(tmp_path, "ID,Split,PatientID,Slice Index,Pixel_Spacing,\na,train,p,1,0.5,x\n")
    assert read.others == []
    assert read.notes == [
        "column 'ID' is read as 'id'",
        "column 'Split' is read as 'split'",
        "column 'PatientID' is read as 'patient'",
        "column 'Slice Index' is read as 'slice'",
        "column 'Pixel_Spacing' is read as 'spacing'",
        "column 6 is left out: it has no name",
    ]


def test_a_phase_that_tells_no_volumes_apart_is_told(tmp_path: Path) -> None:
    told = ["column 'phase' is left out: it is for slices without a volume"]
    assert whole_table(tmp_path, "id,phase\na,ED\n").notes == told
    assert whole_table(tmp_path, "id,phase,volume,slice\na,ED,v,1\n").notes == told
    assert whole_table(tmp_path, "id,phase,patient,slice\na,ED,p,1\n").notes == []


ENCODINGS = {
    "utf-8": [],
    "utf-8-sig": [],
    "utf-16": ["labels.csv is read as utf-16 text"],
    "utf-16-le": ["labels.csv is read as utf-16-le text"],
    "utf-16-be": ["labels.csv is read as utf-16-be text"],
    "cp1252": ["labels.csv is read as cp1252 text"],
}
SIGNS = {",": [], ";": ["semicolons"], "\t": ["tabs"], "|": ["bars"]}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(
    encoding=st.sampled_from([*ENCODINGS]),
    sign=st.sampled_from([*SIGNS]),
    told=st.booleans(),
    cells=st.lists(st.text(st.sampled_from("aé ,;|\t\"'1")), min_size=1, max_size=5),
)
def test_any_encoding_and_delimiter_give_the_same_table(
    encoding: str, sign: str, told: bool, cells: list[str], tmp_path: Path
) -> None:
    lines = io.StringIO()
    rows = [["id", "wörd"], *([f"i{i}", cell] for i, cell in enumerate(cells))]
    csv.writer(lines, delimiter=sign).writerows(rows)
    text = f"sep={sign}\r\n{lines.getvalue()}" if told else lines.getvalue()
    read = whole_table(tmp_path, text.encode(encoding))
    assert [row["wörd"] for row in read.records] == [cell.strip() for cell in cells]
    separated = [f"labels.csv is read as separated by {name}" for name in SIGNS[sign]]
    assert read.notes == [*ENCODINGS[encoding], *separated]


def test_decomposed_letters_are_the_composed_ones(tmp_path: Path) -> None:
    decomposed = unicodedata.normalize("NFD", "id,größe\nmüller,öl\n")
    assert table(tmp_path, decomposed)[0].items() >= {"id": "müller", "größe": "öl"}.items()


@given(
    st.lists(
        st.sampled_from(["", "-1", "0", "1", "01", "1.0", "1.", "5"]) | st.integers(0, 63).map(str),
        min_size=1,
    )
)
def test_numbers_keep_their_value_and_blanks_are_unknown(cells: list[str]) -> None:
    infos, _ = find_labels([{"grade": cell} for cell in cells], ["grade"], None)
    known = [int(float(cell)) for cell in cells if cell not in ("", "-1")]
    assert bool(infos) == bool(known)
    for info in infos:
        assert [label_value(cell, info) for cell in cells] == [int(float(cell or -1)) for cell in cells]
