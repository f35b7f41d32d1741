"""Damaged and lying picture files of every kind that is read, by seed; as a script, a corpus of many of them.

    python -m tests.corpus.mutated --files 1000

Each becomes a row or goes to quarantine with a reason, within the memory of a large picture.
"""

from __future__ import annotations

import argparse
import csv
import io
import resource
import struct
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from framework.core.storage import Store
from framework.corpus.schema import CorpusInfo
from framework.corpus.sources.folder import folder_source
from framework.corpus.writer import pack

Mutation = Callable[[bytes, np.random.Generator], bytes]
SIDE = 48


def kinds(rng: np.random.Generator) -> dict[str, tuple[str, bytes]]:
    """A whole file of each kind by name, with its suffix."""
    grey = rng.integers(0, 256, (SIDE, SIDE), np.uint8)
    smooth = Image.fromarray(grey).resize((SIDE, SIDE), box=(0, 0, 9, 9))
    colour = Image.merge("RGB", [smooth, smooth.rotate(90), smooth.rotate(180)])
    deep = Image.fromarray(np.asarray(smooth).astype(np.uint16) * 257)
    exif = Image.Exif()
    exif[0x112] = int(rng.integers(1, 9))
    return {
        "png": ("png", _encoded(colour, "PNG", exif=exif)),
        "png grey": ("png", _encoded(smooth, "PNG")),
        "png 16": ("png", _encoded(deep, "PNG")),
        "png palette": ("png", _encoded(colour.quantize(16), "PNG", transparency=3)),
        "png 1": ("png", _encoded(smooth.convert("1"), "PNG")),
        "png alpha": ("png", _encoded(colour.convert("RGBA"), "PNG")),
        "jpeg": ("jpg", _encoded(colour, "JPEG", exif=exif)),
        "jpeg progressive": ("jpeg", _encoded(colour, "JPEG", progressive=True)),
        "jpeg cmyk": ("jpg", _encoded(colour.convert("CMYK"), "JPEG")),
        "tiff": ("tif", _encoded(colour, "TIFF", exif=exif)),
        "tiff lzw": ("tiff", _encoded(deep, "TIFF", compression="tiff_lzw")),
        "tiff jpeg": ("tif", _encoded(colour, "TIFF", compression="jpeg")),
        "bmp": ("bmp", _encoded(colour, "BMP")),
        "webp": ("webp", _encoded(colour, "WEBP", exif=exif)),
        "webp lossless": ("webp", _encoded(colour, "WEBP", lossless=True)),
        "pgm": ("pgm", _encoded(smooth, "PPM")),
        "ppm": ("ppm", _encoded(colour, "PPM")),
        "jpeg 2000": ("jp2", _encoded(colour, "JPEG2000")),
        "mpo": ("mpo", _encoded(colour, "MPO", save_all=True, append_images=[colour])),
    }


def flip(data: bytes, rng: np.random.Generator) -> bytes:
    """A few bytes changed, anywhere."""
    changed = np.frombuffer(data, np.uint8).copy()
    places = rng.integers(0, len(data), int(rng.integers(1, 12)))
    changed[places] = rng.integers(0, 256, len(places))
    return changed.tobytes()


def flip_head(data: bytes, rng: np.random.Generator) -> bytes:
    """A few bytes of the header changed."""
    return flip(data[:64], rng) + data[64:]


def truncate(data: bytes, rng: np.random.Generator) -> bytes:
    """Cut off anywhere, also at once."""
    return data[: int(rng.integers(0, len(data)))]


def swap_heads(data: bytes, rng: np.random.Generator) -> bytes:
    """The header of another kind before the rest."""
    others = list(kinds(np.random.default_rng(0)).values())
    cut = int(rng.integers(4, 40))
    return others[int(rng.integers(len(others)))][1][:cut] + data[cut:]


def enlarge(data: bytes, rng: np.random.Generator) -> bytes:
    """Every 16- or 32-bit number of the header that is its side says something larger."""
    side = int(rng.choice([200, 7_000, 8_000, 20_000, 60_000]))
    for form in ("<I", ">I", "<H", ">H"):
        data = data[:400].replace(struct.pack(form, SIDE), struct.pack(form, side)) + data[400:]
    return data.replace(b"48 48", f"{side} {side}".encode())


def bomb(data: bytes, rng: np.random.Generator) -> bytes:
    """A valid PNG of up to, or just over, 64 megapixels in a few kilobytes; its first rows are brighter."""
    side, kind = int(rng.choice([4_000, 8_000, 8_008])), int(rng.choice([0, 2, 6]))
    pixels = side * {0: 1, 2: 3, 6: 4}[kind]
    rows = [b"\0" + bytes([16]) * pixels, bytes(1 + pixels)]
    deflate = zlib.compressobj(1)
    body = b"".join(deflate.compress(rows[row > 9]) for row in range(side)) + deflate.flush()
    head = struct.pack(">IIBBBBB", side, side, 8, kind, 0, 0, 0)
    chunks = [(b"IHDR", head), (b"IDAT", body), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(part)) + name + part + struct.pack(">I", zlib.crc32(name + part))
        for name, part in chunks
    )


MUTATIONS: list[Mutation] = [flip, flip_head, truncate, swap_heads, enlarge]


def write_folder(root: Path, files: int, bombs: int, seed: int = 0) -> None:
    """A folder to build a corpus from, of damaged images; every third has a damaged mask, too."""
    rng = np.random.default_rng(seed)
    for name in ("images", "masks"):
        (root / name).mkdir(parents=True)
    for number in range(files):
        whole = list(kinds(rng).values())
        suffix, data = whole[number % len(whole)]
        mutation = bomb if number < bombs else MUTATIONS[int(rng.integers(len(MUTATIONS)))]
        (root / "images" / f"f{number:05d}.{suffix}").write_bytes(mutation(data, rng))
        if number < bombs:
            (root / "masks" / f"f{number:05d}.png").write_bytes(bomb(b"", rng))
        elif number % 3 == 0:
            suffix, data = whole[int(rng.integers(len(whole)))]
            mask = MUTATIONS[int(rng.integers(len(MUTATIONS)))](data, rng)
            (root / "masks" / f"f{number:05d}.{suffix}").write_bytes(mask)
    with (root / "labels.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["id", "split"])
        table.writerows([f"f{number:05d}", "train"] for number in range(files))


def build(root: Path, out: Path) -> CorpusInfo:
    """A corpus of such a folder: 16 classes by name, since what the masks hold is noise."""
    values = ",".join(map(str, range(0, 256, 16)))
    return pack(folder_source(Store.at(root), "mutated", mask_values=values), Store.at(out), error_budget=1)


def _encoded(picture: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=1000)
    parser.add_argument("--bombs", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        write_folder(root / "folder", given.files, given.bombs, given.seed)
        started = time.perf_counter()
        counts = build(root / "folder", root / "corpus").counts
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    said = {"files": given.files, "rows": counts["rows"], "quarantined": counts["quarantined"]}
    said |= {"seconds": round(time.perf_counter() - started, 1), "peak_mb": round(peak)}
    print("RESULT", *(f"{key}={value}" for key, value in said.items()))


if __name__ == "__main__":
    main()
