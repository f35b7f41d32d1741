"""What a corpus holds that misleads whoever does not know it: found at build, a line each."""

from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from framework.core.counting import several

SHOWN = 20
"""Of many faults of one kind, those that are named."""

Index = dict[str, list[Any]]
"""The columns of `schema.INDEX_COLUMNS`, in stored order."""


def findings(index: Index, classes: list[str]) -> list[str]:
    """Pictures in two splits, small splits, classes that none holds, spacings that not all images have, gaps
    in volumes."""
    return [*_twice(index), *_few(index), *_masks(index, classes), *_spacing(index), *_gaps(index)]


def _twice(index: Index) -> Iterator[str]:
    """The same picture, by its bytes, in two splits; excluded rows are in no run."""
    places: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for name, split, picture in zip(index["id"], index["split"], index["hash"], strict=True):
        if split != "excluded":
            places[picture].append((name, split))
    shared = [found for found in places.values() if len({split for _, split in found}) > 1]
    if shared:
        shown = "; ".join(
            " = ".join(f"'{name}' ({split})" for name, split in found) for found in shared[:SHOWN]
        )
        more = f"; and {len(shared) - SHOWN} more" if len(shared) > SHOWN else ""
        yield f"{several(len(shared), 'picture')} in two splits, so that scores flatter: {shown}{more}"


def _few(index: Index) -> Iterator[str]:
    for split, use in (
        ("train", "there is nothing to learn from"),
        ("val", "no checkpoint can be chosen by it"),
        ("test", "evaluate on another split"),
    ):
        groups = {group for group, own in zip(index["group"], index["split"], strict=True) if own == split}
        if not groups:
            yield f"no image is in split '{split}': {use}"
        elif len(groups) == 1:
            yield f"split '{split}' holds one group alone, '{min(groups)}': it says little of others"


def _masks(index: Index, classes: list[str]) -> Iterator[str]:
    masked = [split for split, kind in zip(index["split"], index["mask_kind"], strict=True) if kind]
    if not masked:
        yield "no image has a mask, in masks/ID.png: there is nothing to learn masks from, or to score"
    elif "train" not in masked:
        yield "no image of split 'train' has a mask"
    else:
        rows = zip(index["split"], index["mask_pixels"], strict=True)
        counts = [pixels for split, pixels in rows if split == "train" and pixels]
        held = {place for pixels in counts for place, count in enumerate(pixels) if count}
        if lacking := ", ".join(f"'{name}'" for place, name in enumerate(classes) if place not in held):
            yield f"no mask of split 'train' holds {lacking}"


def _spacing(index: Index) -> Iterator[str]:
    known = [spacing for spacing in index["spacing"] if spacing]
    if not known:
        return
    rows, columns = zip(*(spacing[-2:] for spacing in known), strict=True)
    sizes = f"rows {_span(rows)}, columns {_span(columns)}"
    if slices := [spacing[0] for spacing in known if len(spacing) == 3]:
        sizes = f"slices {_span(slices)}, {sizes}"
    yield f"spacing in mm: {sizes}"
    if lacking := len(index["spacing"]) - len(known):
        unit = "splits that hold one are measured in pixels, not in mm"
        yield f"{several(lacking, 'image')} without spacing: {unit}"


def _span(sizes: Any) -> str:
    low, high = min(sizes), max(sizes)
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"


def _gaps(index: Index) -> Iterator[str]:
    """Volumes whose slice numbers leave some out: their neighbours are taken for adjacent."""
    numbers: dict[str, list[int]] = defaultdict(list)
    for volume, number, split in zip(index["volume"], index["slice"], index["split"], strict=True):
        if volume is not None and number is not None and split != "excluded":
            numbers[volume].append(number)
    broken = [name for name, own in numbers.items() if len({b - a for a, b in pairwise(sorted(own))}) > 1]
    if broken:
        named = ", ".join(f"'{name}'" for name in broken[:SHOWN])
        gaps = f"without slices between others, which count as adjacent: {named}"
        yield f"{several(len(broken), 'volume')} {gaps}"
