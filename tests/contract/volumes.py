"""A tiny corpus of volumes: bright ellipsoids with a brighter core; one patient's two differ in depth."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from framework.core.rng import generator
from framework.core.storage import Store
from framework.corpus.writer import Source, pack
from framework.labelling.job import make
from framework.labelling.weak.config import Box
from framework.labelling.weak.simulate import SimulateWeak

CLASSES = ["background", "shell", "core"]
SIZE = 32


def build_volumes(folder: Path, patients: int = 12) -> str:
    """A packed corpus with a layer of boxes: two volumes a patient of 3 to 8 slices of 32 pixels.

    The last two patients are for validation.
    """
    rows = [row for i in range(patients) for row in _patient(i, "val" if i >= patients - 2 else "train")]
    source = Source("volumes", "volumes-1", len(rows), CLASSES, "ids", [], 1, lambda start: rows[start:])
    pack(source, Store.at(folder))
    make(SimulateWeak, Box(), str(folder), "box")
    return str(folder)


def volume(name: str, depth: int) -> tuple[np.ndarray, np.ndarray]:
    """Grey values and ids of a volume, both `[D, H, W]` uint8."""
    rng = generator("volume", name)
    z, y, x = np.meshgrid(np.linspace(-1, 1, depth + 2)[1:-1], *[np.linspace(-1, 1, SIZE)] * 2, indexing="ij")
    row, column = rng.uniform(-0.3, 0.3, 2)
    radius = np.sqrt(z**2 + ((y - row) / 0.6) ** 2 + ((x - column) / 0.5) ** 2)
    mask = (radius < 1).astype(np.uint8) + (radius < 0.5)
    grey = 60 + 60 * mask + rng.normal(0, 12, mask.shape)
    return np.clip(grey, 0, 255).astype(np.uint8), mask.astype(np.uint8)


def _patient(number: int, split: str) -> Iterator[dict[str, Any]]:
    for phase in range(2):
        name = f"p{number:02d}-{phase}"
        grey, mask = volume(name, 3 + (number + 3 * phase) % 6)
        for i in range(len(grey)):
            yield {
                "id": f"{name}-{i}",
                "group": f"p{number:02d}",
                "split": split,
                "image": _png(grey[i]),
                "volume": name,
                "slice": i,
                "spacing": [5.0, 1.0, 1.0],
                "mask": _png(mask[i]),
                "mask_kind": "mask",
                "labels": [],
                "source": "drawn",
            }


def _png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()
