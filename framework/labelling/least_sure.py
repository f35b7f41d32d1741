"""Pictures of the pseudo-labels of which a model is least sure: what a person should look at first."""

import heapq
from typing import Any

from framework.core.storage import Store
from framework.corpus.reader import Corpus
from framework.imaging.decode import decode_mask
from framework.imaging.overlay import panels

FILE = "least-sure.json"
COUNT = 4


def write_least_sure(corpus: Corpus, layer: Store) -> None:
    """Write the pictures and `least-sure.json` about them: image, pseudo mask, and the true mask where the
    corpus has one."""
    entries = [_entry(corpus, layer, place, row) for place, row in enumerate(_least_sure(layer))]
    layer.write_json(FILE, entries)


def _least_sure(layer: Store) -> list[dict[str, Any]]:
    """The rows with the smallest confidence; only those parts are read whole that have one."""
    columns = ["id", "confidence"]
    parts = ((part, layer.read_table(part, columns).to_pylist()) for part in layer.names("rows-"))
    sure = ((row["confidence"], row["id"], part) for part, rows in parts for row in rows)
    chosen = heapq.nsmallest(COUNT, sure)
    tables = {part: layer.read_table(part) for part in {part for *_, part in chosen}}
    by_id = {row["id"]: row for table in tables.values() for row in table.to_pylist()}
    return [by_id[name] for _, name, _ in chosen]


def _entry(corpus: Corpus, layer: Store, place: int, row: dict[str, Any]) -> dict[str, Any]:
    sample, file = corpus.read(row["id"]), f"least-sure-{place}.png"
    shape = (sample.image.shape[0], sample.image.shape[1])
    masks = {"pseudo-label": decode_mask(row["mask"], shape, len(corpus.info.classes), "ids")}
    if sample.mask is not None:
        masks["truth"] = sample.mask
    layer.write_bytes(file, panels(sample.image, *masks.values()))
    columns = ["image", *masks]
    return {"case": sample.id, "confidence": row["confidence"], "columns": columns, "file": file}
