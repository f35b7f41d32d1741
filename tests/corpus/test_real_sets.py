"""Import of published sets, where they are: a folder with acdc/, busi/ and idrid/, named by SCANTSEG_DATA."""

from __future__ import annotations

import csv
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from framework.core.errors import CorpusError
from framework.core.storage import Store
from framework.corpus.reader import Corpus
from framework.corpus.sources.folder import folder_source
from framework.corpus.writer import pack
from framework.loading.label_budget import BudgetConfig, labelled_ids

DATA = Path(os.environ.get("SCANTSEG_DATA", Path(__file__).parents[3] / "shared" / "data"))

Write = Callable[[Path, list[dict[str, object]]], None]


def published(name: str) -> Path:
    if not (DATA / name / "labels.csv").exists():
        pytest.skip(f"{name} is not in {DATA}; set SCANTSEG_DATA")
    return DATA / name


def imported(folder: Path, out: Path, classes: list[str]) -> Corpus:
    pack(folder_source(Store.at(folder), folder.name, classes), Store.at(out))
    return Corpus.open(str(out))


def test_acdc_slices_stack_to_volumes(tmp_path: Path, write_rows: Write) -> None:
    original = published("acdc")
    with (original / "labels.csv").open() as file:
        rows = [dict[str, object](row) for row in csv.DictReader(file)][:60]
    names = {str(row["id"]) for row in rows}
    for kind in ("images", "masks"):
        (tmp_path / "acdc" / kind).mkdir(parents=True)
        for file in (original / kind).iterdir():
            if file.stem in names:
                shutil.copy(file, tmp_path / "acdc" / kind)
    write_rows(tmp_path / "acdc" / "labels.csv", rows)
    corpus = imported(tmp_path / "acdc", tmp_path / "c", ["background", "RV", "myocardium", "LV"])
    assert corpus.info.counts["rows"] == corpus.info.counts["masks"] == 60
    assert corpus.info.counts["quarantined"] == 0
    assert [label.name for label in corpus.info.labels] == ["has_rv", "has_myo", "has_lv", "pathology_by_id"]
    assert set(zip(corpus.index_columns["volume"], corpus.index_columns["slice"], strict=True)) == {
        (f"{row['patient']}-{row['phase']}", int(str(row["slice"]))) for row in rows
    }
    assert set(corpus.index_columns["group"]) == {row["patient"] for row in rows}
    for sample in corpus.rows(corpus.ids("train")[:20]):
        assert sample.mask is not None
        assert [int((sample.mask == k).any()) for k in (1, 2, 3)] == sample.labels[:3].tolist()


def test_busi_keeps_what_it_excludes_apart(tmp_path: Path) -> None:
    corpus = imported(published("busi"), tmp_path / "c", ["background", "tumour"])
    assert {
        key: corpus.info.counts[key] for key in ("rows", "train", "val", "test", "excluded", "quarantined")
    } == {
        "rows": 780,
        "train": 531,
        "val": 75,
        "test": 157,
        "excluded": 17,
        "quarantined": 0,
    }
    labels = {label.name: label.values for label in corpus.info.labels}
    assert labels["label"] == ["0", "1", "2"]
    assert labels["label_name"] == ["benign", "malignant", "normal"]
    assert labels["tumour"] == ["0", "1"]
    assert "mask_fraction" not in labels
    kept = labelled_ids(corpus, BudgetConfig(share=0.1, stratify="label"))
    shares = np.bincount([corpus.value(name, "labels")[0] for name in kept], minlength=3) / len(kept)
    assert np.abs(shares - np.array([133, 437, 210]) / 780).max() < 0.1


def test_idrid_has_no_test_split(tmp_path: Path) -> None:
    corpus = imported(published("idrid"), tmp_path / "c", ["background", "MA", "HE", "EX", "SE"])
    assert (corpus.info.counts["rows"], corpus.info.counts["train"], corpus.info.counts["val"]) == (
        107,
        85,
        22,
    )
    assert corpus.info.channels == 3
    assert {"dr", "has_MA", "has_HE", "has_EX", "has_SE"} <= {label.name for label in corpus.info.labels}
    with pytest.raises(CorpusError, match="no row in split 'test'; it has: train, val"):
        corpus.ids("test")
