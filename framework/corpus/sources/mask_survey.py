"""What the masks of a folder say, by the values of all of them: class ids for certain, or a refusal.

Only what is certain needs no table of values: ids from 0 without gaps, with 255 beside them for "do not
count", or bits. All else would be learnt from as what it is not, and is refused with the table to give.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Self

import numpy as np

from framework.core.errors import CorpusError, RowError
from framework.core.labels import IGNORE
from framework.imaging.decode import read_mask
from framework.imaging.mask_values import MOST_EXACT, colours, count_values, distance, written

FEW = 0.1
"""Share of the masks up to which those with values of no class are bad rows, as is one of several."""
MOST_UNNAMED = 32
"""Classes that need no names: more ids than these are rather grey levels, or numbers of objects."""
MOST_IGNORED = 0.5
"""Share of all pixels over which 255 is rather a class."""
APART = 32
"""Levels of blurred masks that are closer are one."""
RARE = 1 / 5000
"""Share of the pixels under which a level of blurred masks is noise."""
MOST_LISTED = 12
"""Values that a message lists."""


@dataclass(frozen=True)
class Look:
    """What one mask holds."""

    file: str
    counts: dict[int, int]
    """Pixels by value: a grey level, a palette index or a colour."""
    shades: dict[int, int]
    """Pixels by the colour that a viewer shows."""
    palette: dict[int, int]
    """The colour of each palette index that occurs; empty where there is no palette."""
    in_colour: bool
    lossy: bool
    """Whether JPEG blurred its values: it has several."""

    @classmethod
    def at(cls, file: str, data: bytes) -> Self:
        """Raises `RowError` for bytes that are no mask."""
        pixels = read_mask(data)
        counts = count_values(pixels.codes)
        palette = {} if pixels.palette is None else {index: int(pixels.palette[index]) for index in counts}
        shades = counts if pixels.in_colour else count_values(colours(pixels))
        return cls(file, counts, shades, palette, pixels.in_colour, pixels.lossy and len(counts) > 1)

    @property
    def blurred(self) -> bool:
        return self.lossy or len(self.counts) > MOST_EXACT

    @property
    def structures(self) -> set[int]:
        """Its class ids but 0."""
        return set() if self.in_colour else self.counts.keys() - {0, IGNORE}


Looks = Sequence[Look]
Fault = Callable[[Looks, int | None], str | None]
"""Why masks are no class ids, or bits, for certain; of so many classes, None where they have no names."""
Masks = Iterable[tuple[str, bytes]]
"""Files and their bytes."""


def require_ids(where: str, masks: Masks, classes: int | None) -> None:
    """Raise `CorpusError` where masks are not class ids for certain; `classes` None: they have no names."""
    _require(where, masks, classes, [_colours, _unknown_ids, _lossy, _palettes, _no_structure, _two_meanings])


def require_bits(where: str, masks: Masks, classes: int | None) -> None:
    """The same for masks of lesion bits."""
    _require(where, masks, classes, [_colours, _unknown_bits, _lossy, _palettes, _together])


def require_scribbles(where: str, masks: Masks, classes: int) -> None:
    """The same for scribbles, where 255 is all that is not drawn."""
    _require(where, masks, classes, [_colours, _unknown_ids, _lossy, _palettes, _no_structure])


def _require(where: str, masks: Masks, classes: int | None, faults: Sequence[Fault]) -> None:
    looks = list(_looks(masks))
    for fault in faults if looks else ():
        if said := fault(looks, classes):
            raise CorpusError(f"{where}: {said}")


def _looks(masks: Masks) -> Iterator[Look]:
    for file, data in masks:
        with suppress(RowError):  # a bad row, with its reason
            yield Look.at(file, data)


def _too_many(bad: Looks, looks: Looks, classes: int | None) -> bool:
    """Without names of classes any mask with other values counts: it says how many classes there are."""
    return len(bad) > (max(FEW * len(looks), min(1, len(looks) - 1)) if classes else 0)


def _colours(looks: Looks, classes: int | None) -> str | None:
    bad = [look for look in looks if look.in_colour]
    if _too_many(bad, looks, classes):
        return f"masks are in colour (such as '{bad[0].file}'), not class ids; {_advice(looks, shades=True)}"
    return None


def _unknown_ids(looks: Looks, classes: int | None) -> str | None:
    union = set().union(*(look.counts for look in looks)) - {IGNORE}
    run = next(value for value in range(len(union) + 1) if value not in union)
    most = classes or min(run, MOST_UNNAMED)
    rule = f"class ids are 0..{most - 1}" if classes else "class ids run from 0 without gaps"
    if not classes and run > most:
        rule = f"more than {most} classes need names (--classes)"
    return _unknown(looks, {*range(most), IGNORE}, classes, rule)


def _unknown_bits(looks: Looks, classes: int | None) -> str | None:
    union = _union_of_bits(looks)
    limit = 1 << (classes - 1) if classes else union + 1
    skips = not classes and union & (union + 1) > 0
    rule = "bits begin with the first and skip none" if skips else f"bits of lesions are 0..{limit - 1}"
    return _unknown(looks, set() if skips else set(range(min(limit, 256))), classes, rule)


def _unknown(looks: Looks, known: set[int], classes: int | None, rule: str) -> str | None:
    bad = [look for look in looks if not look.counts.keys() <= known]
    if not _too_many(bad, looks, classes):
        return None
    kind = "blurred values" if any(look.blurred for look in bad) else "values"
    return f"masks hold {kind} {_named(looks)} (such as '{bad[0].file}'), but {rule}; {_advice(looks)}"


def _lossy(looks: Looks, classes: int | None) -> str | None:
    bad = [look for look in looks if look.lossy]
    if not bad:
        return None
    return f"masks are JPEG (such as '{bad[0].file}'), which blurs class ids; {_advice(looks)}"


def _palettes(looks: Looks, classes: int | None) -> str | None:
    """An index has one colour in all masks, and 0, the background, the darkest."""
    first: dict[int, tuple[int, str]] = {}
    advice = f"{_advice(looks, shades=True)}, or {_table(looks)} to take the indices as they are"
    for look in looks:
        for index, colour in look.palette.items():
            before, file = first.setdefault(index, (colour, look.file))
            if before != colour:
                shown = f"{written(before, True)} in '{file}' and {written(colour, True)} in '{look.file}'"
                return f"index {index} of the masks' palettes is {shown}; {advice}"
        if 0 in look.palette and min(look.palette.values(), key=_brightness) != look.palette[0]:
            shown = f"{written(look.palette[0], True)} (such as '{look.file}')"
            return f"index 0 of the masks' palette is {shown}, not the dark one; {advice}"
    return None


def _no_structure(looks: Looks, classes: int | None) -> str | None:
    ignoring = [look for look in looks if IGNORE in look.counts]
    if not ignoring or any(look.structures for look in looks):
        return None
    fault = f"masks hold no class id but 0, and {IGNORE} (such as '{ignoring[0].file}')"
    return f"{fault}, which means 'do not count'; if it is a class, give --mask-values 0,{IGNORE}"


def _two_meanings(looks: Looks, classes: int | None) -> str | None:
    """255 is "do not count" for certain where it lies beside a class, and not on most of all pixels."""
    drawn = [look for look in looks if look.structures]
    highest = max((max(look.structures) for look in drawn), default=0)
    ids = ",".join(map(str, range(classes or highest + 1)))
    either = f"give --mask-values {ids} if it is 'do not count' everywhere"
    for look in looks:
        if IGNORE in look.counts and not look.structures:
            fault = f"{IGNORE} may be a class in '{look.file}', where no other is, but is none in"
            return f"{fault} '{drawn[0].file}'; {either}, or draw those masks with class ids"
    pixels = sum(sum(look.counts.values()) for look in looks)
    share = sum(look.counts.get(IGNORE, 0) for look in looks) / pixels
    if share > MOST_IGNORED:
        fault = f"{IGNORE}, which means 'do not count', covers {share:.0%} of the masks"
        return f"{fault}; {either}, {ids},{IGNORE} if it is a class"
    return None


def _together(looks: Looks, classes: int | None) -> str | None:
    values = set().union(*(look.counts for look in looks)) - {0}
    lesions = _union_of_bits(looks).bit_count()
    if len(values) >= lesions:
        return None
    fault = f"masks of bits hold {_named(looks)}, so that {lesions} lesions lie at the same places"
    return f"{fault}; {_advice(looks)}"


def _union_of_bits(looks: Looks) -> int:
    return int(np.bitwise_or.reduce([value for look in looks for value in look.counts]))


def _advice(looks: Looks, shades: bool = False) -> str:
    if len(_values(looks, shades)) > MOST_LISTED:
        return "save them with class ids"
    return f"give --mask-values {_table(looks, shades)}, in the order of the numbers 0, 1, … they are"


def _table(looks: Looks, shades: bool = False) -> str:
    values = _values(looks, shades)
    table = ",".join(written(value, shades) for value in (values if len(values) > 1 else [0, *values]))
    return f"'{table}'" if shades else table


def _named(looks: Looks) -> str:
    values = _values(looks)
    return ", ".join(map(str, values[:MOST_LISTED])) + ", …" * (len(values) > MOST_LISTED)


def _values(looks: Looks, shades: bool = False) -> list[int]:
    """The values of all masks, the dark ones first; of blurred ones those that others lie around."""
    total: Counter[int] = Counter()
    for look in looks:
        total.update(look.shades if shades else look.counts)
    kept, least = list(total), RARE * total.total()
    if any(look.blurred for look in looks):
        kept = []
        for value, count in total.most_common():
            if count >= least and all(distance(np.array([value]), k, shades) >= APART for k in kept):
                kept.append(value)
    return sorted(kept, key=lambda value: (_brightness(value) if shades else 0, value))


def _brightness(colour: int) -> int:
    return sum(colour >> shift & 255 for shift in (16, 8, 0))
