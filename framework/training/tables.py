"""A method's tables of single images, written beside its model with pictures of the least trusted ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from framework.core.artifact import ArtifactSpec, finish
from framework.core.labels import IGNORE
from framework.loading.training_set import TrainingSample

if TYPE_CHECKING:
    from framework.training.trainer import Trainer

SHOWN = 6
"""Pictures of the images with the smallest weights."""


def write_tables(trainer: Trainer, model: ArtifactSpec) -> None:
    """Each table of the method as a layer without masks, `id` and `weight`, in the model's folder."""
    import pyarrow as pa

    for name, columns in trainer.method.tables().items():
        store = trainer.store / name
        store.write_table("rows-00000.parquet", pa.table(columns))
        weights = dict(zip(columns["id"], columns["weight"], strict=True))
        listed = []
        for place, image in enumerate(sorted(weights, key=weights.__getitem__)[:SHOWN]):
            store.write_bytes(f"least-{place}.png", _picture(trainer.data.get(image)))
            listed.append({"case": image, "weight": weights[image], "file": f"least-{place}.png"})
        store.write_json("pictures.json", listed)
        spec = ArtifactSpec("layer", model.inputs, {**model.settings, "table": name})
        finish(store, spec, {"rows": len(weights), "masks": 0}, 0.0)


def _picture(sample: TrainingSample) -> bytes:
    """The image and its weak mask at training size; of a volume the slice with most foreground."""
    from framework.imaging.overlay import panels

    assert sample.mask is not None, "only images with a weak mask have a weight"
    image, mask = sample.image, sample.mask
    if mask.ndim == 3:
        fullest = int(((mask > 0) & (mask != IGNORE)).sum((1, 2)).argmax())
        image, mask = image[:, fullest], mask[fullest]
    depth = np.uint8 if image.dtype == np.uint8 else np.uint16
    return panels(np.moveaxis(image, 0, -1).astype(depth), mask)
