from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image

from framework.core.storage import Store
from framework.corpus.label_layers import LAYER_ROW
from framework.corpus.reader import Corpus
from framework.labelling.least_sure import COUNT, FILE, write_least_sure


def test_the_least_sure_of_all_parts_are_shown_with_their_true_mask(
    phantom_url: str, tmp_path: Path, png
) -> None:
    corpus, layer = Corpus.open(phantom_url), Store.at(tmp_path / "layer")
    names = corpus.ids("train")[:10]
    confidence = [0.9, 0.2, 0.8, 0.7, 0.3, 0.6, 0.1, 0.95, 0.5, 0.4]
    mask = png(np.zeros((48, 48), np.uint8))
    for part in (0, 1):
        rows = [
            {"id": name, "mask": mask, "kind": "pseudo", "confidence": sure}
            for name, sure in list(zip(names, confidence, strict=True))[part::2]
        ]
        layer.write_table(f"rows-{part}.parquet", pa.Table.from_pylist(rows, schema=LAYER_ROW))
    write_least_sure(corpus, layer)
    shown = layer.read_json(FILE)
    least = [names[place] for place in np.argsort(confidence)[:COUNT]]
    assert [entry["case"] for entry in shown] == least
    assert [round(entry["confidence"], 2) for entry in shown] == [0.1, 0.2, 0.3, 0.4]
    for entry in shown:
        masked = corpus.value(entry["case"], "mask_kind") == "mask"
        assert entry["columns"] == ["image", "pseudo-label", *["truth"] * masked]
        picture = Image.open(io.BytesIO(layer.read_bytes(entry["file"])))
        assert picture.width > picture.height * (len(entry["columns"]) - 0.5)
