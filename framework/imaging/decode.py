"""Encoded bytes to arrays, with limits: an unreadable file is a `RowError` with its reason, never a crash.

A picture is what a viewer shows of its file: turned as its EXIF orientation says, of an MPO photograph the
first. Colour profiles are not applied and alpha is dropped.
"""

import contextlib
import io
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image, ImageChops, ImageOps, UnidentifiedImageError

from framework.core.errors import RowError
from framework.core.labels import IGNORE, Encoding

MAX_PIXELS = 64_000_000
"""Larger pictures are refused before they are decoded (decompression bombs)."""
HIGHEST = np.array([value.bit_length() for value in range(256)], np.uint8)
"""Number of the highest set bit, from 1; 0 for none."""
FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "WEBP", "PPM", "JPEG2000")
"""Kinds of file that are opened at all: formats that can run programs, such as EPS, are not among them.
MPO photographs are JPEG with other views behind the first."""
GREY = ("1", "L", "LA", "La")
"""Modes of grey pictures of at most 8 bits."""
PLACES = np.array([1 << 16, 1 << 8, 1], np.uint32)
"""What red, green and blue are multiplied by in 0xRRGGBB."""
BLACK_AND_WHITE = np.array([0, 0xFFFFFF], np.uint32)
AT_ONCE = 1 << 22
"""Pixels that are converted at once."""
ROUNDING = 2
"""Planes that differ by no more are equal: lossy files of grey pictures come back so."""


def decode_image(data: bytes, channels: Literal[1, 3] | None = None) -> np.ndarray:
    """Decode to `[H, W, C]`, uint8, or uint16 for 16-bit grey pictures; raises `RowError`.

    `channels` None keeps its own: 1 for grey, else 3 (alpha is dropped, 16-bit colour read with 8 bits).
    """
    with _readable("image"):
        picture = _loaded(data, "image")
        if _is_deep(picture):
            return np.repeat(_sixteen_bit(picture, "image")[..., None], channels or 1, axis=2)
        grey = channels == 1 or (channels is None and picture.mode in GREY)
        return _pixels(picture, "L" if grey else "RGB")


def shows_colour(data: bytes) -> bool:
    """Whether a picture is in colour: many grey ones are stored as three equal planes. Raises `RowError`."""
    with _readable("image"):
        picture = _opened(data, "image")
        return not (picture.mode in GREY or _is_deep(picture) or _has_equal_planes(picture))


def hides_pixels(data: bytes) -> bool:
    """Whether a picture has pixels that are not opaque: they are read as if they were."""
    with _readable("image"):
        picture = _opened(data, "image")
        return _has_alpha(picture) and bool(np.min(_alpha(picture).getextrema()) < 255)


@dataclass(frozen=True)
class MaskPixels:
    """A mask as its file has it, before its values mean anything."""

    codes: np.ndarray
    """`[H, W]`: grey levels or palette indices, as they are, or colours as 0xRRGGBB."""
    in_colour: bool = False
    palette: np.ndarray | None = None
    """The colour of each palette index, as 0xRRGGBB."""
    lossy: bool = False
    """Whether the kind of file blurs values."""


def read_mask(data: bytes) -> MaskPixels:
    """A mask of any kind; colour with three equal planes is grey. Raises `RowError`."""
    with _readable("mask"):
        picture = _loaded(data, "mask")
        lossy = picture.format in ("JPEG", "MPO")
        if picture.mode == "P":
            palette = np.zeros((256, 3), np.uint32)
            colours = np.array(picture.getpalette("RGB"), np.uint32).reshape(-1, 3)
            palette[: len(colours)] = colours
            return MaskPixels(np.asarray(picture), palette=palette @ PLACES)
        if picture.mode == "1":
            return MaskPixels(np.asarray(picture).astype(np.uint8), palette=BLACK_AND_WHITE)
        if picture.mode == "L" or _is_deep(picture):
            codes = np.asarray(picture) if picture.mode == "L" else _sixteen_bit(picture, "mask")
            return MaskPixels(codes, lossy=lossy)
        if _has_alpha(picture) and _is_flat(picture) and np.ptp(_alpha(picture).getextrema()):
            raise RowError("mask is drawn in its transparency alone: save it as 8-bit grey of class ids")
        if _has_equal_planes(picture):
            return MaskPixels(_pixels(picture, "L")[..., 0], lossy=lossy)
        return MaskPixels(_packed(picture), in_colour=True, lossy=lossy)


def decode_mask(data: bytes, shape: tuple[int, int], classes: int, encoding: Encoding) -> np.ndarray:
    """Decode to uint8 `[H, W]`: class ids (255 = ignore) or lesion bits; `RowError` where it does not fit."""
    pixels = read_mask(data)
    if pixels.in_colour:
        raise RowError("mask is in colour: needs one channel of class ids, not colours; see --mask-values")
    mask = pixels.codes
    require_size(mask, shape)
    limit = classes if encoding == "ids" else 1 << (classes - 1)
    unknown = mask >= limit
    if encoding == "ids":
        unknown &= mask != IGNORE
    if unknown.any():
        kind, values = "class ids" if encoding == "ids" else "bits", np.unique(mask[unknown])[:5].tolist()
        raise RowError(f"mask has unknown {kind} {values}: 0..{limit - 1} are known")
    return mask.astype(np.uint8)


def require_size(mask: np.ndarray, shape: tuple[int, ...]) -> None:
    """Raise `RowError` where a mask is not of its image's size."""
    if mask.shape != tuple(shape):
        raise RowError(f"mask is {_size(mask.shape)} but its image is {_size(shape)}")


def class_pixels(mask: np.ndarray, encoding: Encoding) -> list[int]:
    """Pixels of each class in a mask, up to the highest that it holds; 255 is none where masks are of ids.

    Of bits: pixels without any, and of each lesion, also where others lie over it.
    """
    counts = np.bincount(mask.reshape(-1), minlength=256)
    if encoding == "ids":
        return np.trim_zeros(counts[:IGNORE], "b").tolist()
    values = np.arange(256)
    lesions = [counts[(values >> bit & 1).astype(bool)].sum() for bit in range(8)]
    return np.trim_zeros(np.array([counts[0], *lesions]), "b").tolist()


def flatten_bits(bits: np.ndarray) -> np.ndarray:
    """Overlapping lesion bits to one class id per pixel: the highest set bit wins, class = bit + 1."""
    return HIGHEST[bits]


def encode_png(pixels: np.ndarray, compress_level: int = 3) -> bytes:
    """A mask or picture `[H, W]` or `[H, W, 3]`, uint8 or uint16, as PNG."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG", compress_level=compress_level)
    return out.getvalue()


@contextlib.contextmanager
def _readable(what: str) -> Iterator[None]:
    """Turn whatever Pillow raises on damaged bytes into a `RowError`."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except RowError:
        raise
    except Image.DecompressionBombError:
        raise RowError(f"{what} is over the limit of {MAX_PIXELS // 10**6} megapixels") from None
    except UnidentifiedImageError:
        fault = f"not a picture of a known kind ({', '.join(FORMATS)})"
        raise RowError(f"{what} file cannot be read: {fault}") from None
    except Exception as error:  # its parsing raises whatever it stumbles over
        reason = " ".join(str(error).split())[:80] or type(error).__name__
        raise RowError(f"{what} file cannot be read: truncated or damaged ({reason})") from None


def _opened(data: bytes, what: str) -> Image.Image:
    """A picture whose header alone is read, and found to be one of a size that can be decoded."""
    if not data:
        raise RowError(f"{what} file is empty (0 bytes)")
    picture = Image.open(io.BytesIO(data), formats=FORMATS)
    if picture.width * picture.height > MAX_PIXELS:
        size = f"{picture.width} x {picture.height}"
        raise RowError(f"{what} is {size}: over the limit of {MAX_PIXELS // 10**6} megapixels")
    pages = getattr(picture, "n_frames", 1)
    if pages > 1 and picture.format != "MPO":  # whose others are other views of the first
        raise RowError(f"{what} file has {pages} pages: save each as a picture of its own")
    return picture


def _loaded(data: bytes, what: str) -> Image.Image:
    """A picture's pixels as a viewer shows them."""
    picture = _opened(data, what)
    ImageOps.exif_transpose(picture, in_place=True)
    return picture


def _is_deep(picture: Image.Image) -> bool:
    return picture.mode.startswith(("I", "F"))


def _bands(picture: Image.Image, mode: str) -> Iterator[tuple[slice, Image.Image]]:
    """A picture in a mode, some rows at a time: copies of a large one would not fit in memory."""
    rows = max(1, AT_ONCE // picture.width)
    for top in range(0, picture.height, rows):
        band = picture.crop((0, top, picture.width, min(top + rows, picture.height)))
        yield slice(top, top + rows), band if band.mode == mode else band.convert(mode)


def _pixels(picture: Image.Image, mode: str) -> np.ndarray:
    pixels = np.empty((picture.height, picture.width, len(mode)), np.uint8)
    for rows, band in _bands(picture, mode):
        pixels[rows] = np.atleast_3d(np.asarray(band))
    return pixels


def _has_alpha(picture: Image.Image) -> bool:
    return picture.has_transparency_data and not _is_deep(picture)


def _alpha(picture: Image.Image) -> Image.Image:
    return (picture if "A" in picture.getbands() else picture.convert("RGBA")).getchannel("A")


def _sixteen_bit(picture: Image.Image, what: str) -> np.ndarray:
    array = np.asarray(picture)
    if array.dtype.kind == "f" or array.min() < 0 or array.max() > 65535:
        raise RowError(f"{what} has {picture.mode} pixels beyond 16 bits: save it with 8 or 16 bits")
    return array.astype(np.uint16)


def _has_equal_planes(picture: Image.Image) -> bool:
    bands = (band.split() for _, band in _bands(picture, "RGB"))
    pairs = (pair for red, green, blue in bands for pair in ((red, green), (green, blue)))
    return all(np.max(ImageChops.difference(*pair).getextrema()) <= ROUNDING for pair in pairs)


def _is_flat(picture: Image.Image) -> bool:
    """Whether all of a picture is of one colour."""
    extremes = np.array([band.getextrema() for _, band in _bands(picture, "RGB")])
    return bool((extremes.min((0, 2)) == extremes.max((0, 2))).all())


def _packed(picture: Image.Image) -> np.ndarray:
    """Colours `[H, W]` as 0xRRGGBB."""
    codes = np.empty((picture.height, picture.width), np.uint32)
    for rows, band in _bands(picture, "RGB"):
        codes[rows] = np.asarray(band) @ PLACES
    return codes


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(str(n) for n in reversed(shape))
