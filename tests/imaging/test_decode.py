from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from framework.core.errors import RowError
from framework.imaging.decode import (
    class_pixels,
    decode_image,
    decode_mask,
    encode_png,
    flatten_bits,
    hides_pixels,
    shows_colour,
)

Encode = Callable[[np.ndarray], bytes]
RAMP = np.arange(48, dtype=np.uint8).reshape(6, 8)


def encoded(picture: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def bomb(side: int) -> bytes:
    """A whole and valid PNG of one bit a pixel: small on disk, side x side pixels when it is decoded."""
    deflate = zlib.compressobj(1)
    row = bytes(1 + side // 8)
    body = b"".join(deflate.compress(row) for _ in range(side)) + deflate.flush()
    head = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    chunks = [(b"IHDR", head), (b"IDAT", body), (b"IEND", b"")]
    packed = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def test_grey_and_colour_keep_their_channels_unless_told(png: Encode) -> None:
    colour = np.stack([RAMP, RAMP + 50, RAMP + 100], axis=-1)
    assert np.array_equal(decode_image(png(RAMP)), RAMP[..., None])
    assert np.array_equal(decode_image(png(colour)), colour)
    assert np.array_equal(decode_image(png(RAMP), 3), np.repeat(RAMP[..., None], 3, axis=2))
    assert decode_image(png(colour), 1).shape == (6, 8, 1)


def test_sixteen_bit_grey_is_read_as_such(png: Encode) -> None:
    deep = (RAMP.astype(np.uint16) + 1) * 1000
    for data in (png(deep), encoded(Image.fromarray(deep), "TIFF")):
        assert decode_image(data).dtype == np.uint16
        assert np.array_equal(decode_image(data, 3)[..., 2], deep)


def test_alpha_is_dropped(png: Encode) -> None:
    colour = np.stack([RAMP, RAMP + 50, RAMP + 100], axis=-1)
    assert np.array_equal(decode_image(png(np.dstack([colour, RAMP]))), colour)
    assert np.array_equal(
        decode_image(encoded(Image.fromarray(np.dstack([RAMP, RAMP])), "PNG")), RAMP[..., None]
    )


def test_a_palette_and_a_jpeg_are_pictures() -> None:
    grey = Image.fromarray(RAMP)
    assert decode_image(encoded(grey, "JPEG")).shape == (6, 8, 1)
    assert decode_image(encoded(grey.convert("P"), "PNG")).shape == (6, 8, 3)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"PK\x03\x04 not a picture at all", "not a picture of a known kind"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a picture of a known kind"),
        (encoded(Image.fromarray(RAMP.astype(np.float32)), "TIFF"), "beyond 16 bits"),
        (
            encoded(Image.fromarray(RAMP), "TIFF", save_all=True, append_images=[Image.fromarray(RAMP)]),
            "2 pages",
        ),
    ],
)
def test_what_is_no_picture_says_why(data: bytes, reason: str) -> None:
    with pytest.raises(RowError, match=reason):
        decode_image(data)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "BMP"])
def test_a_truncated_picture_is_a_row_error(kind: str) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    data = encoded(noise, kind)
    with pytest.raises(RowError, match="image file cannot be read: truncated or damaged"):
        decode_image(data[: len(data) // 2])


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(["PNG", "JPEG", "TIFF", "BMP", "WEBP", "PPM"]), st.data())
def test_damaged_bytes_never_raise_anything_else(kind: str, data: st.DataObject) -> None:
    whole = bytearray(encoded(Image.fromarray(np.repeat(RAMP[..., None], 3, axis=2)), kind))
    for place in data.draw(st.lists(st.integers(0, len(whole) - 1), max_size=6)):
        whole[place] = data.draw(st.integers(0, 255))
    try:
        assert decode_image(bytes(whole[: data.draw(st.integers(0, len(whole)))])).ndim == 3
    except RowError as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize("side", [8008, 20000])
def test_a_huge_picture_is_refused_before_it_is_decoded(side: int) -> None:
    data = bomb(side)
    assert len(data) < 1_000_000
    with pytest.raises(RowError, match="over the limit of 64 megapixels"):
        decode_image(data)


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_a_mask_of_8_or_16_bits_is_class_ids(depth: type[np.generic], png: Encode) -> None:
    mask = (RAMP % 3).astype(np.uint8)
    mask[0, 0] = 255
    decoded = decode_mask(png(mask.astype(depth)), (6, 8), 3, "ids")
    assert decoded.dtype == np.uint8
    assert np.array_equal(decoded, mask)


def test_masks_of_one_bit_and_of_palette_indices_are_class_ids() -> None:
    mask = (RAMP % 2).astype(np.uint8)
    palette = Image.fromarray(mask, "P")
    palette.putpalette([0, 0, 0, 200, 30, 30])
    for picture in (Image.fromarray(mask.astype(bool)), palette):
        assert np.array_equal(decode_mask(encoded(picture, "PNG"), (6, 8), 2, "ids"), mask)


def test_a_mask_that_does_not_fit_says_why(png: Encode) -> None:
    with pytest.raises(RowError, match="mask is 8 x 6 but its image is 9 x 6"):
        decode_mask(png(RAMP), (6, 9), 48, "ids")
    with pytest.raises(RowError, match=r"unknown class ids \[4, 5, 6, 7, 8\]: 0..3 are known"):
        decode_mask(png(RAMP), (6, 8), 4, "ids")
    with pytest.raises(RowError, match=r"unknown class ids \[300\]"):
        decode_mask(png(np.full((6, 8), 300, np.uint16)), (6, 8), 4, "ids")
    with pytest.raises(RowError, match=r"unknown bits \[255\]: 0..3 are known"):
        decode_mask(png(np.full((6, 8), 255, np.uint8)), (6, 8), 3, "bits")
    with pytest.raises(RowError, match="mask is in colour: needs one channel"):
        decode_mask(encoded(Image.new("RGBA", (8, 6), "red"), "PNG"), (6, 8), 4, "ids")
    drawn = Image.fromarray(np.dstack([np.zeros((6, 8, 3), np.uint8), RAMP]))
    with pytest.raises(RowError, match="drawn in its transparency alone"):
        decode_mask(encoded(drawn, "PNG"), (6, 8), 48, "ids")
    with pytest.raises(RowError, match="mask file is empty"):
        decode_mask(b"", (6, 8), 4, "ids")


def test_equal_planes_of_a_mask_are_one() -> None:
    three = Image.fromarray(np.repeat(RAMP[..., None], 3, axis=2))
    for mode in ("RGB", "RGBA", "LA"):
        assert np.array_equal(decode_mask(encoded(three.convert(mode), "PNG"), (6, 8), 48, "ids"), RAMP)


def test_a_picture_and_a_mask_are_turned_as_a_viewer_shows_them() -> None:
    exif = Image.Exif()
    exif[0x112] = 6  # a quarter to the right
    picture = Image.fromarray(RAMP)
    for kind in ("PNG", "TIFF", "WEBP"):
        data = encoded(picture, kind, exif=exif, **({"lossless": True} if kind == "WEBP" else {}))
        assert np.array_equal(decode_image(data, 1)[..., 0], np.rot90(RAMP, -1)), kind
        assert np.array_equal(decode_mask(data, (8, 6), 48, "ids"), np.rot90(RAMP, -1)), kind
    assert decode_image(encoded(picture, "JPEG", exif=exif)).shape == (8, 6, 1)


def test_of_a_photograph_of_several_views_the_first_is_read() -> None:
    first, second = Image.fromarray(RAMP), Image.fromarray(RAMP[::-1].copy())
    data = encoded(first, "MPO", save_all=True, append_images=[second])
    assert np.array_equal(decode_image(data), decode_image(encoded(first, "JPEG")))


def test_animations_are_refused() -> None:
    frames = [Image.new("RGB", (8, 6), colour) for colour in ("red", "blue", "green")]
    for kind in ("PNG", "WEBP"):
        with pytest.raises(RowError, match="image file has 3 pages: save each as a picture of its own"):
            decode_image(encoded(frames[0], kind, save_all=True, append_images=frames[1:]))


@pytest.mark.parametrize("mode", ["CMYK", "LAB", "YCbCr", "P", "PA", "RGBA", "RGBX", "1", "LA"])
def test_every_mode_is_decoded_to_what_it_shows(mode: str) -> None:
    shown = Image.new("RGB", (8, 6), "white")
    picture = Image.new("LAB", (8, 6), (255, 128, 128)) if mode == "LAB" else shown.convert(mode)  # type: ignore[arg-type]
    kind = "PNG" if mode in ("P", "LA", "1", "RGBA") else "TIFF"
    assert (decode_image(encoded(picture, kind), 3) >= 254).all()


def test_colour_is_told_from_three_equal_planes() -> None:
    ramp = Image.fromarray(RAMP)
    for kind in ("PNG", "JPEG", "WEBP", "TIFF"):
        assert not shows_colour(encoded(ramp.convert("RGB"), kind))
    assert not shows_colour(encoded(Image.fromarray(RAMP.astype(np.uint16)), "PNG"))
    tinted = Image.fromarray(np.dstack([RAMP, RAMP, RAMP + 3]))
    assert shows_colour(encoded(tinted, "PNG"))


def test_pixels_that_are_not_opaque_are_known() -> None:
    colour = Image.new("RGBA", (8, 6), (9, 9, 9, 255))
    assert not hides_pixels(encoded(colour, "PNG"))
    colour.putpixel((3, 3), (9, 9, 9, 100))
    assert hides_pixels(encoded(colour, "PNG"))
    palette = Image.fromarray(RAMP % 2).convert("P")
    assert not hides_pixels(encoded(palette, "PNG"))
    assert hides_pixels(encoded(palette, "PNG", transparency=1))
    deep = Image.fromarray(RAMP.astype(np.uint16))
    assert not hides_pixels(encoded(deep, "PNG", transparency=1))


def test_pixels_of_each_class_are_counted() -> None:
    ids = np.array([[0, 0, 2], [255, 255, 2]], np.uint8)
    assert class_pixels(ids, "ids") == [2, 0, 2]
    assert class_pixels(np.full((2, 2), 255, np.uint8), "ids") == []
    assert class_pixels(np.array([[0, 1, 5], [4, 4, 255]], np.uint8), "bits") == [1, 3, 1, 4, 1, 1, 1, 1, 1]


def test_the_highest_bit_wins() -> None:
    bits = np.arange(256, dtype=np.uint8)[None]
    assert flatten_bits(bits)[0].tolist() == [value.bit_length() for value in range(256)]


def test_an_encoded_mask_comes_back() -> None:
    assert np.array_equal(decode_mask(encode_png(RAMP), (6, 8), 48, "ids"), RAMP)
