from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from framework.core.errors import CorpusError
from framework.corpus.sources.mask_survey import require_bits, require_ids, require_scribbles

Files = dict[str, Image.Image]
REQUIRE: Any = {"ids": require_ids, "bits": require_bits, "scribbles": require_scribbles}


def areas(*values: int, dtype: type[np.generic] = np.uint8) -> Image.Image:
    """A mask whose values cover equal areas, the first one twice."""
    return Image.fromarray(np.repeat(np.array([values[0], *values], dtype), 12)[None].repeat(24, 0))


RED = Image.merge("RGB", (areas(0, 255), areas(0, 0), areas(0, 0)))


def in_palette(values: tuple[int, ...], colours: list[int]) -> Image.Image:
    picture = Image.fromarray(np.asarray(areas(*values)), "P")
    picture.putpalette(colours)
    return picture


def as_kind(picture: Image.Image, kind: str) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind)
    return buffer.getvalue()


def survey(files: Files, classes: int | None = None, rule: str = "ids", kind: str = "PNG") -> str:
    """What is said of the masks, empty where they are certain."""
    try:
        REQUIRE[rule]("masks", ((name, as_kind(p, kind)) for name, p in files.items()), classes)
    except CorpusError as error:
        return str(error)
    return ""


CERTAIN = {
    "ids": ({"a": areas(0, 1), "b": areas(0, 2)}, None, "ids"),
    "ids and 255 beside them": ({"a": areas(0, 1, 255), "b": areas(0)}, None, "ids"),
    "a class with a name that no mask has": ({"a": areas(0, 2)}, 3, "ids"),
    "no structure at all": ({"a": areas(0)}, 2, "ids"),
    "black and white": ({"a": Image.fromarray(np.eye(8) > 0)}, 2, "ids"),
    "16 bits": ({"a": areas(0, 1, 2, dtype=np.uint16)}, None, "ids"),
    "equal planes": ({"a": areas(0, 1).convert("RGB")}, 2, "ids"),
    "a palette from the dark one": ({"a": in_palette((0, 1), [0, 0, 0, 255, 0, 0])}, 2, "ids"),
    "one bad row of many": ({"x": areas(0, 9), **{f"{i}": areas(0, 1) for i in range(12)}}, 2, "ids"),
    "one bad row of two": ({"x": RED, "a": areas(0, 1)}, 2, "ids"),
    "bits": ({"a": areas(0, 1), "b": areas(0, 2, 3)}, 3, "bits"),
    "all bits": ({"a": areas(0, 1, 2, 4, 8, 16, 32, 64, 128, 255)}, None, "bits"),
    "scribbles": ({"a": areas(255, 0), "b": areas(255, 0, 1)}, 2, "scribbles"),
}


@pytest.mark.parametrize("name", CERTAIN)
def test_what_is_certain_needs_no_table(name: str) -> None:
    files, classes, rule = CERTAIN[name]
    assert survey(files, classes, rule) == ""


UNCLEAR: dict[str, tuple[Files, int | None, str, str]] = {
    "0 and 255": (
        {"a": areas(0), "b": areas(0, 255)},
        2,
        "ids",
        "masks: masks hold no class id but 0, and 255 (such as 'b'), which means 'do not count'; "
        "if it is a class, give --mask-values 0,255",
    ),
    "0 and 128": (
        {"a": areas(0, 128)},
        2,
        "ids",
        "masks: masks hold values 0, 128 (such as 'a'), but class ids are 0..1; "
        "give --mask-values 0,128, in the order of the numbers 0, 1, … they are",
    ),
    "a gap without names": (
        {"a": areas(0, 1), "b": areas(0, 3)},
        None,
        "ids",
        "masks: masks hold values 0, 1, 3 (such as 'b'), but class ids run from 0 without gaps; "
        "give --mask-values 0,1,3, in the order of the numbers 0, 1, … they are",
    ),
    "255 as a class in some": (
        {"a": areas(0, 1, 255), "b": areas(0, 255)},
        2,
        "ids",
        "masks: 255 may be a class in 'b', where no other is, but is none in 'a'; "
        "give --mask-values 0,1 if it is 'do not count' everywhere, or draw those masks with class ids",
    ),
    "255 on most pixels": (
        {"a": areas(255, 255, 0, 1)},
        None,
        "ids",
        "masks: 255, which means 'do not count', covers 60% of the masks; "
        "give --mask-values 0,1 if it is 'do not count' everywhere, 0,1,255 if it is a class",
    ),
    "colours": (
        {"a": areas(0), "b": RED, "c": RED},
        2,
        "ids",
        "masks: masks are in colour (such as 'b'), not class ids; "
        "give --mask-values '#000000,#ff0000', in the order of the numbers 0, 1, … they are",
    ),
    "a palette from the bright one": (
        {"a": in_palette((1, 0), [255, 255, 255, 0, 0, 0])},
        2,
        "ids",
        "masks: index 0 of the masks' palette is #ffffff (such as 'a'), not the dark one; "
        "give --mask-values '#000000,#ffffff', in the order of the numbers 0, 1, … they are, "
        "or 0,1 to take the indices as they are",
    ),
    "palettes of two orders": (
        {"a": in_palette((0, 1), [0, 0, 0, 255, 0, 0]), "b": in_palette((0, 1), [0, 0, 0, 0, 255, 0])},
        3,
        "ids",
        "masks: index 1 of the masks' palettes is #ff0000 in 'a' and #00ff00 in 'b'; "
        "give --mask-values '#000000,#00ff00,#ff0000', in the order of the numbers 0, 1, … they are, "
        "or 0,1 to take the indices as they are",
    ),
    "numbers of objects": (
        {"a": Image.fromarray(np.arange(40, dtype=np.uint8)[None].repeat(3, 0))},
        None,
        "ids",
        "masks: masks hold blurred values 0, 32 (such as 'a'), but more than 32 classes need names "
        "(--classes); give --mask-values 0,32, in the order of the numbers 0, 1, … they are",
    ),
    "bits that are one value": (
        {"a": areas(0, 255)},
        None,
        "bits",
        "masks: masks of bits hold 0, 255, so that 8 lesions lie at the same places; "
        "give --mask-values 0,255, in the order of the numbers 0, 1, … they are",
    ),
    "bits that are skipped": (
        {"a": areas(0, 4)},
        None,
        "bits",
        "masks: masks hold values 0, 4 (such as 'a'), but bits begin with the first and skip none; "
        "give --mask-values 0,4, in the order of the numbers 0, 1, … they are",
    ),
    "bits of more lesions": (
        {"a": areas(0, 1, 2, 4)},
        3,
        "bits",
        "masks: masks hold values 0, 1, 2, 4 (such as 'a'), but bits of lesions are 0..3; "
        "give --mask-values 0,1,2,4, in the order of the numbers 0, 1, … they are",
    ),
    "scribbles of 255": (
        {"a": areas(0, 255)},
        2,
        "scribbles",
        "masks: masks hold no class id but 0, and 255 (such as 'a'), which means 'do not count'; "
        "if it is a class, give --mask-values 0,255",
    ),
}


@pytest.mark.parametrize("name", UNCLEAR)
def test_what_is_not_certain_is_refused_with_the_table_to_give(name: str) -> None:
    files, classes, rule, said = UNCLEAR[name]
    assert survey(files, classes, rule) == said


def test_jpeg_masks_are_refused_with_the_values_that_they_blur() -> None:
    said = survey({"a": areas(0, 128, 255)}, 3, kind="JPEG")
    assert "masks hold blurred values 0, 128, 255 (such as 'a')" in said
    assert "give --mask-values 0,128,255" in said
    assert "masks are JPEG (such as 'a'), which blurs class ids" in survey({"a": areas(0, 1)}, 9, kind="JPEG")
    assert survey({"a": areas(0)}, 2, kind="JPEG") == ""


def test_what_cannot_be_read_says_nothing() -> None:
    require_ids("masks", [("a", b"nothing")], 2)
    require_ids("masks", [], None)
