"""Encoded bytes to arrays, with limits: an unreadable file is a `RowError` with its reason, never a crash."""

import io
import warnings
from typing import Literal

import numpy as np
from PIL import Image, UnidentifiedImageError

from framework.core.errors import RowError
from framework.core.labels import IGNORE, Encoding

MAX_PIXELS = 64_000_000
"""Larger pictures are refused before they are decoded (decompression bombs)."""
HIGHEST = np.array([value.bit_length() for value in range(256)], np.uint8)
"""Number of the highest set bit, from 1; 0 for none."""
FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "WEBP", "PPM", "JPEG2000")
"""Kinds of file that are opened at all: formats that can run programs, such as EPS, are not among them."""


def decode_image(data: bytes, channels: Literal[1, 3] | None = None) -> np.ndarray:
    """Decode to `[H, W, C]`, uint8, or uint16 for 16-bit grey pictures; raises `RowError`.

    `channels` None keeps its own: 1 for grey, else 3 (alpha is dropped, 16-bit colour read with 8 bits).
    """
    picture = _open(data, "image")
    if picture.mode.startswith(("I", "F")):
        return np.repeat(_sixteen_bit(picture)[..., None], channels or 1, axis=2)
    grey = channels == 1 or (channels is None and picture.mode in ("1", "L", "LA", "La"))
    return np.atleast_3d(np.asarray(picture.convert("L" if grey else "RGB")))


def decode_mask(data: bytes, shape: tuple[int, int], classes: int, encoding: Encoding) -> np.ndarray:
    """Decode to uint8 `[H, W]`: class ids (255 = ignore) or lesion bits; `RowError` where it does not fit."""
    picture = _open(data, "mask")
    if picture.mode not in ("1", "L", "P") and not picture.mode.startswith("I"):
        needed = "one channel of class ids, not colours; save it as 8-bit grey"
        raise RowError(f"mask has mode {picture.mode}: needs {needed}")
    mask = np.asarray(picture)
    if mask.shape != tuple(shape):
        raise RowError(f"mask is {_size(mask.shape)} but its image is {_size(shape)}")
    limit = classes if encoding == "ids" else 1 << (classes - 1)
    unknown = (mask < 0) | (mask >= limit)
    if encoding == "ids":
        unknown &= mask != IGNORE
    if unknown.any():
        kind, values = "class ids" if encoding == "ids" else "bits", np.unique(mask[unknown])[:5].tolist()
        raise RowError(f"mask has unknown {kind} {values}: 0..{limit - 1} are known")
    return mask.astype(np.uint8)


def flatten_bits(bits: np.ndarray) -> np.ndarray:
    """Overlapping lesion bits to one class id per pixel: the highest set bit wins, class = bit + 1."""
    return HIGHEST[bits]


def encode_png(pixels: np.ndarray, compress_level: int = 3) -> bytes:
    """A mask or picture `[H, W]` or `[H, W, 3]`, uint8 or uint16, as PNG."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG", compress_level=compress_level)
    return out.getvalue()


def _open(data: bytes, what: str) -> Image.Image:
    if not data:
        raise RowError(f"{what} file is empty (0 bytes)")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            picture = Image.open(io.BytesIO(data), formats=FORMATS)
        if picture.width * picture.height > MAX_PIXELS:
            size = f"{picture.width} x {picture.height}"
            raise RowError(f"{what} is {size}: over the limit of {MAX_PIXELS // 10**6} megapixels")
        if (pages := getattr(picture, "n_frames", 1)) > 1:
            raise RowError(f"{what} file has {pages} pages: save each as a picture of its own")
        picture.load()
    except RowError:
        raise
    except Image.DecompressionBombError:
        raise RowError(f"{what} is over the limit of {MAX_PIXELS // 10**6} megapixels") from None
    except UnidentifiedImageError:
        fault = f"not a picture of a known kind ({', '.join(FORMATS)})"
        raise RowError(f"{what} file cannot be read: {fault}") from None
    except Exception as error:  # on damaged bytes, Pillow raises whatever its parsing stumbles over
        reason = " ".join(str(error).split())[:80] or type(error).__name__
        raise RowError(f"{what} file cannot be read: truncated or damaged ({reason})") from None
    return picture


def _sixteen_bit(picture: Image.Image) -> np.ndarray:
    array = np.asarray(picture)
    if array.dtype.kind == "f" or array.min() < 0 or array.max() > 65535:
        raise RowError(f"image has {picture.mode} pixels beyond 16 bits: save it with 8 or 16 bits")
    return array.astype(np.uint16)


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(str(n) for n in reversed(shape))
