from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from framework.core.errors import ConfigError, RowError
from framework.imaging.decode import decode_mask
from framework.imaging.mask_values import MaskValues

IDS = np.zeros((64, 64), np.uint8)
IDS[8:30, 8:30], IDS[36:60, 20:50] = 1, 2
COLOURS = np.array([[0, 0, 0], [255, 0, 0], [0, 255, 0]], np.uint8)


def encoded(picture: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def converted(text: str, data: bytes, encoding: Any = "ids") -> np.ndarray:
    return decode_mask(MaskValues.parse(text).convert(data, encoding), (64, 64), 9, encoding)


def grey(levels: list[int]) -> Image.Image:
    return Image.fromarray(np.array(levels, np.uint8)[IDS])


def paletted(palette: np.ndarray, indices: np.ndarray = IDS) -> Image.Image:
    picture = Image.fromarray(indices, "P")
    picture.putpalette(palette.tobytes())
    return picture


@pytest.mark.parametrize(
    ("text", "picture"),
    [
        ("0,128,255", grey([0, 128, 255])),
        ("255,0,100", grey([255, 0, 100])),
        ("0,1000,2000", Image.fromarray(IDS.astype(np.uint16) * 1000)),
        ("#000000,#ff0000,#00FF00", Image.fromarray(COLOURS[IDS])),
        ("#000000,#ff0000,#00ff00", paletted(COLOURS)),
        ("#000000,#ff0000,#00ff00", paletted(COLOURS[[2, 0, 1]], (IDS + 1) % 3)),
        ("1,2,0", paletted(COLOURS[[2, 0, 1]], (IDS + 1) % 3)),
        ("#000000,#808080,#ffffff", grey([0, 128, 255])),
    ],
)
def test_values_become_class_ids(text: str, picture: Image.Image) -> None:
    assert np.array_equal(converted(text, encoded(picture)), IDS)


def test_a_black_and_white_mask_is_of_colours_too() -> None:
    picture = Image.fromarray(IDS == 1)
    assert np.array_equal(converted("#000000,#ffffff", encoded(picture)), IDS == 1)


def test_of_blurred_masks_the_nearest_value_counts() -> None:
    two = encoded(Image.fromarray((IDS > 0).astype(np.uint8) * 255), "JPEG", quality=75)
    assert (converted("0,255", two) == (IDS > 0)).mean() > 0.999
    red = encoded(Image.fromarray(COLOURS[np.minimum(IDS, 1)]), "JPEG", quality=90, subsampling=0)
    assert (converted("#000000,#ff0000", red) == (IDS > 0)).mean() > 0.99
    large = Image.fromarray((IDS > 0).astype(np.uint8) * 255).resize((128, 128), Image.Resampling.BICUBIC)
    small = large.resize((64, 64), Image.Resampling.BICUBIC)
    assert (converted("0,255", encoded(small)) == (IDS > 0)).mean() > 0.99


def test_255_that_the_table_leaves_out_stays_do_not_count() -> None:
    assert set(np.unique(converted("0,128", encoded(grey([0, 128, 255]))))) == {0, 1, 255}
    with pytest.raises(RowError, match="does not name: 255"):
        converted("0,128", encoded(grey([0, 128, 255])), "bits")


def test_places_in_a_table_of_bits_are_bits() -> None:
    assert set(np.unique(converted("0,128,64,255", encoded(grey([0, 128, 255])), "bits"))) == {0, 1, 3}


@pytest.mark.parametrize(
    ("text", "picture", "kind", "reason"),
    [
        ("0,255", grey([0, 128, 255]), "PNG", "mask has values that --mask-values 0,255 does not name: 128"),
        ("0,255", grey([0, 128, 255]), "JPEG", "--mask-values 0,255 does not name: 128"),
        (
            "0,1",
            Image.fromarray(np.arange(4096, dtype=np.uint8).reshape(64, 64) // 4),
            "PNG",
            "does not name",
        ),
        ("0,255", Image.fromarray(COLOURS[IDS]), "PNG", "in colour and --mask-values 0,255 are numbers"),
        ("#000000,#0000ff", Image.fromarray(COLOURS[IDS]), "PNG", "does not name: #00ff00, #ff0000"),
    ],
)
def test_other_values_are_a_bad_row(text: str, picture: Image.Image, kind: str, reason: str) -> None:
    with pytest.raises(RowError, match=reason):
        converted(text, encoded(picture, kind))


@pytest.mark.parametrize(
    "text", ["0", "0,0", "0,x", "0,#ffffff", "#fff,#000", "0,-1", ",".join(map(str, range(256)))]
)
def test_a_table_that_is_none_says_what_it_needs(text: str) -> None:
    with pytest.raises(ConfigError, match=r"mask values '.*': expected"):
        MaskValues.parse(text)


def test_a_table_reads_as_it_is_written() -> None:
    for text in ("0,255", "#000000,#ff0000"):
        assert str(MaskValues.parse(text)) == text
