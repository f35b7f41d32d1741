"""The last operator of a stream: every image is a row or in quarantine, and counted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from framework.core.storage import Store
from framework.corpus.label_layers import LAYER_ROW
from framework.corpus.layer_writer import finished_ids, quarantined
from framework.labelling.stream import Encode


def row(batch: Any, i: int) -> dict[str, Any]:
    return {"kind": "pseudo", "kept": float(batch["kept"][i])}


def test_an_unreadable_picture_is_in_quarantine_and_counted(tmp_path: Path) -> None:
    out = Store.at(tmp_path)
    ids, reasons = np.array(["a", "b", "c"], object), np.array(["", "no picture", ""], object)
    counts = Encode(out, row, LAYER_ROW)({"id": ids, "reason": reasons, "kept": np.array([0.1, 0.2, 0.3])})
    assert (counts["rows"].tolist(), counts["bad"].tolist()) == ([3], [1])
    assert quarantined(out) == [{"id": "b", "reason": "no picture"}]
    assert finished_ids(out) == {"a", "b", "c"}
    (part,) = out.names("rows-")
    assert out.read_table(part)["id"].to_pylist() == ["a", "c"]
