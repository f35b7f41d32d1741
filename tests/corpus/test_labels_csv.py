from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from framework.core.errors import CorpusError
from framework.core.storage import Store
from framework.corpus.sources.labels_csv import Record, label_infos, label_value, read_table, volume_of


def table(folder: Path, text: str | bytes) -> list[Record]:
    (folder / "labels.csv").write_bytes(text.encode() if isinstance(text, str) else text)
    return read_table(Store.at(folder))


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
        ("name;split\na;train\n", "no column 'id'; it has: name;split; separate columns by commas"),
        ("id,split\na,train\nb\n", "row 2 has 1 cells for 2 columns: b"),
        ("id,split\na,train,x\n", "row 1 has 3 cells for 2 columns"),
        ("id,split\n ,train\n", "row 1 has no id"),
        ("id,grade,grade\na,1,2\n", "column 'grade' occurs twice"),
        ("id,split\na,train\na,val\n", "id 'a' occurs twice"),
        ("id,split\na,trian\n", "id 'a' has split 'trian'; did you mean 'train'?"),
        ("id,split,group\na,train,p\nb,test,p\n", "group 'p' is in two splits, 'train' and 'test'"),
        ("id,patient,slice\na,p,1\nb,p,1\n", "ids 'a' and 'b' are both slice 1 of volume 'p'"),
        ("id,name\na,M\xfcller\n".encode("latin-1"), "not UTF-8 text"),
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


def test_columns_of_few_whole_numbers_or_words_are_labels() -> None:
    rows = [
        {
            "id": f"i{i}",
            "split": "train",
            "group": f"g{i}",
            "grade": str(i % 3),
            "code": f"0{i % 2}",
            "word": "xy"[i % 2],
        }
        | {"share": f"{i}.5", "pixels": str(i * 10), "uuid": f"u{i}", "blank": "", "unknown": "-1"}
        for i in range(70)
    ]
    values_of = {info.name: info.values for info in label_infos(rows, None)}
    assert values_of == {"grade": ["0", "1", "2"], "code": ["0", "1"], "word": ["x", "y"]}
    assert [info.name for info in label_infos(rows, ["word"])] == ["word"]


def test_a_chosen_column_must_be_a_label() -> None:
    rows = [{"id": "a", "split": "train", "group": "a", "grade": "1", "share": "0.5"}]
    with pytest.raises(CorpusError, match="no label column 'grad'; did you mean 'grade'"):
        label_infos(rows, ["grad"])
    with pytest.raises(CorpusError, match="column 'share' is no label"):
        label_infos(rows, ["share"])


@given(st.lists(st.sampled_from(["", "-1", "0", "1", "01", "5"]) | st.integers(0, 63).map(str), min_size=1))
def test_numbers_keep_their_value_and_blanks_are_unknown(cells: list[str]) -> None:
    infos = label_infos([{"id": str(i), "grade": cell} for i, cell in enumerate(cells)], None)
    known = [int(cell) for cell in cells if cell not in ("", "-1")]
    assert bool(infos) == bool(known)
    for info in infos:
        assert [label_value(cell, info) for cell in cells] == [int(cell or -1) for cell in cells]
