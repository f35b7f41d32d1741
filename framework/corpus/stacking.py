"""What the slices of a volume share, so that they stack: checked slice by slice as they are packed."""

from typing import Any

import numpy as np

from framework.core.errors import CorpusError
from framework.core.settings import Settings


class Slice(Settings):
    """What all slices of a volume have alike; `id` is of the first."""

    id: str
    size: tuple[int, ...]
    """Pixels of height and width."""
    bits: int
    spacing: list[float] | None
    colour: bool | None
    """None where a picture of one grey value could be either."""


def match(volumes: dict[str, Slice], row: dict[str, Any], image: np.ndarray) -> None:
    """Add a row to the volume that it is of; raises `CorpusError` where it differs from the first slice."""
    if (volume := row["volume"]) is None:
        return
    if row["slice"] is None:
        raise CorpusError(f"volume '{volume}': slice '{row['id']}' has no number; number all slices")
    own = _slice(row, image)
    first = volumes.setdefault(volume, own)
    if first.colour is None or own.colour is None:
        first.colour = own.colour = first.colour if own.colour is None else own.colour
    for what, ours, others in (
        ("size in pixels", own.size, first.size),
        ("bits of a pixel", own.bits, first.bits),
        ("spacing in mm", own.spacing, first.spacing),
        ("colour", own.colour, first.colour),
    ):
        if ours != others:
            fault = f"slices '{first.id}' and '{own.id}' differ in {what}: {others} and {ours}"
            raise CorpusError(f"volume '{volume}': {fault}; mend them, or take the volume out")


def _slice(row: dict[str, Any], image: np.ndarray) -> Slice:
    spacing, colour = row.get("spacing"), bool((image != image[..., :1]).any())
    one_grey = not colour and image.min() == image.max()
    return Slice(
        id=row["id"],
        size=image.shape[:2],
        bits=8 * image.itemsize,
        spacing=list(spacing) if spacing else None,
        colour=None if one_grey else colour,
    )
