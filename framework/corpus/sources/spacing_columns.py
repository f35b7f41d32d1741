"""The columns of a table that say how large a pixel is, in millimetres."""

import math
import re

from framework.core.errors import CorpusError

BASES = ("spacing", "pixelspacing", "voxelspacing", "pixelsize", "voxelsize")
AXES = {
    "z": ("z", "slice", "slices", "betweenslices"),
    "y": ("y", "row", "rows"),
    "x": ("x", "column", "columns"),
}
"""The axes in the order of the corpus, slice, row and column, and the words for them."""
COLUMNS = ("spacing", *(f"spacing_{axis}" for axis in AXES))
MOST = 1000
"""Millimetres beyond which a number is no size of a pixel."""


def spellings() -> dict[str, str]:
    """The column that a plain name (letters and digits alone) stands for: `pixelspacingx` is `spacing_x`."""
    names = dict.fromkeys(BASES, "spacing")
    for axis, words in AXES.items():
        names |= {f"{base}{word}": f"spacing_{axis}" for base in BASES for word in words}
        names |= {f"{word}{base}": f"spacing_{axis}" for base in BASES for word in words}
    return names | {f"{name}mm": column for name, column in names.items()}


def looks_like_spacing(plain: str) -> bool:
    """Whether a column that is none of `spellings` may be meant as one."""
    return re.search(r"spacing|thickness|(pixel|voxel)size", plain) is not None


def spacing_of(record: dict[str, str], of_volume: bool) -> list[float] | None:
    """Millimetres of slice, row and column; of row and column where an image has no more; None where unknown.

    Raises `CorpusError` for what is no size, or too little of it.
    """
    axes = [record.get(f"spacing_{axis}", "") for axis in AXES]
    whole = record.get("spacing", "")
    if whole and any(axes):
        raise _error(record, "is said twice: keep the column 'spacing', or those of the axes")
    if not whole and not any(axes):
        return None
    numbers = _numbers(record, whole) if whole else [_number(record, axis) for axis in axes if axis]
    if not whole and not (axes[1] and axes[2]):
        raise _error(record, "lacks an axis: give spacing_x and spacing_y, and spacing_z for volumes")
    if len(numbers) == 1:
        numbers *= 3 if of_volume else 2
    if len(numbers) not in (2, 3):
        raise _error(
            record, f"'{whole}' has {len(numbers)} numbers: give slice, row and column, or row and column"
        )
    if of_volume and len(numbers) == 2:
        raise _error(record, "of a volume lacks the distance from slice to slice: give it as spacing_z")
    return numbers


def _numbers(record: dict[str, str], text: str) -> list[float]:
    """The numbers of one cell: `0.5 0.5`, `[1, 0.5, 0.5]`, `0.5x0.5`, `0.5\\0.5`, `0,5 0,5`."""
    parts = text.strip("[]() ")
    if re.fullmatch(r"\d+,\d+", parts):
        raise _error(record, f"'{text}' may be one number or two: write 0.5, or 0.5 0.5")
    commas = r"," if "." in parts or not re.search(r"[^\d,]", parts) or ", " in parts else r""
    return [_number(record, part) for part in re.split(rf"[\s;x*\\|{commas}]+", parts)]


def _number(record: dict[str, str], text: str) -> float:
    try:
        number = float(text.replace(",", "."))
    except ValueError:
        number = math.nan
    if not 0 < number < MOST:
        raise _error(record, f"'{text[:20]}' is no size of a pixel: give millimetres over 0 and below {MOST}")
    return number


def _error(record: dict[str, str], fault: str) -> CorpusError:
    return CorpusError(f"labels.csv: id '{record['id']}': spacing {fault}")
