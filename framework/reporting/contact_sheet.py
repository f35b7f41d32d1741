"""Look at a corpus: a table of what is in it, and a contact sheet of what it looks like."""

import io
from collections import Counter
from collections.abc import Iterable
from itertools import chain, zip_longest
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from rich.table import Table
from scipy import ndimage

from framework.core.errors import CorpusError
from framework.core.labels import IGNORE
from framework.corpus.label_layers import Layer
from framework.corpus.reader import Corpus, Sample
from framework.corpus.schema import SPLITS
from framework.imaging.overlay import as_rgb, colour_of, overlay, rgb
from framework.imaging.resize import resize_mask

TILE = 220  # longer side of an image, in pixels
GAP, LINE, COLUMNS = 10, 17, 6
CAPTION = 3 * LINE + 4
INK, PAPER = "#222222", "#ffffff"
Tally = dict[str, dict[str, float]]


def describe(corpus: Corpus) -> Table:
    """A table of `tally`: one line a quantity, one column a split."""
    title, splits = f"{corpus.info.name}, version {corpus.info.version}", _splits(corpus)
    table = Table(title=title, caption="pixels: of a class, shares of those that have one; ignored, of all")
    table.add_column("")
    for split in splits:
        table.add_column(split, justify="right")
    section = ""
    for name, numbers in tally(corpus).items():
        if name.split()[0] != section:
            table.add_section()
            section = name.split()[0]
        table.add_row(name, *(_shown(numbers.get(split, 0)) for split in splits))
    return table


def tally(corpus: Corpus) -> Tally:
    """Counts by quantity and split: images, groups, masks by kind, images by label; and pixels by class.

    These are shares 0..1 of the labelled pixels of all masks, those ignored of all pixels; of lesions that
    overlap they add up to more than 1.
    """
    index = corpus.index_columns
    groups = sorted(set(zip(index["split"], index["group"], strict=True)))
    numbers: dict[str, Any] = {
        "images": Counter(index["split"]),
        "groups": Counter(split for split, _ in groups),
    }
    kinds = [kind or "none" for kind in index["mask_kind"]]
    for kind in sorted(set(kinds)):
        numbers[f"mask: {kind}"] = _where(corpus, (own == kind for own in kinds))
    for place, label in enumerate(corpus.info.labels):
        for value, name in [*enumerate(label.values), (-1, "unknown")]:
            shown = (labels[place] == value for labels in index["labels"])
            numbers[f"{label.name}: {name}"] = _where(corpus, shown)
    shares = {split: _pixel_shares(corpus, split) for split in _splits(corpus)}
    for class_id, name in enumerate([*corpus.info.classes, "ignored"]):
        numbers[f"pixels: {name}"] = {split: float(share[class_id]) for split, share in shares.items()}
    return {name: dict(number) for name, number in numbers.items() if number or not name.endswith("unknown")}


def contact_sheet(corpus: Corpus, count: int = 24, seed: int = 0, layer: Layer | None = None) -> bytes:
    """PNG of up to `count` images with their masks drawn over, as many of each split where there are enough.

    With a label layer its masks are shown, and only images that have one. Raises `CorpusError` when there is
    nothing to show.
    """
    names = _chosen(corpus, count, seed, layer)
    tiles = [_tile(corpus, corpus.read(name), layer) for name in names]
    width, height = TILE + GAP, TILE + CAPTION + GAP
    across, down = min(COLUMNS, len(tiles)), -(-len(tiles) // COLUMNS)
    legend = _legend(corpus.info.classes, across * width)
    sheet = Image.new("RGB", (across * width + GAP, down * height + GAP + legend.height), PAPER)
    for place, tile in enumerate(tiles):
        row, column = divmod(place, COLUMNS)
        sheet.paste(tile, (GAP + column * width, GAP + row * height))
    sheet.paste(legend, (GAP, GAP + down * height))
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG")
    return buffer.getvalue()


def _splits(corpus: Corpus) -> list[str]:
    return [split for split in SPLITS if split in corpus.index_columns["split"]]


def _shown(number: float) -> str:
    return f"{number:.3%}" if isinstance(number, float) else f"{number:,}"


def _where(corpus: Corpus, chosen: Iterable[bool]) -> Counter[str]:
    return Counter(split for split, yes in zip(corpus.index_columns["split"], chosen, strict=True) if yes)


def _pixel_shares(corpus: Corpus, split: str) -> np.ndarray:
    """Share of the labelled pixels that each class covers, and of all pixels those ignored, `[K + 1]`."""
    pixels, area, ignored = np.zeros(len(corpus.info.classes), np.int64), 0, 0
    for name in corpus.ids(split):
        if counts := corpus.value(name, "mask_pixels"):
            pixels[: len(counts)] += counts
            size = corpus.value(name, "height") * corpus.value(name, "width")
            area += size
            ignored += size - sum(counts) if corpus.info.encoding == "ids" else 0
    return np.append(pixels / max(area - ignored, 1), ignored / max(area, 1))


def _chosen(corpus: Corpus, count: int, seed: int, layer: Layer | None) -> list[str]:
    """Ids in stored order: a random order within each split, then one of each split in turn."""
    rng, queues = np.random.default_rng(seed), []
    for split in _splits(corpus):
        names = [name for name in corpus.ids(split) if layer is None or name in layer.kinds]
        queues.append([names[place] for place in rng.permutation(len(names))])
    names = [name for name in chain.from_iterable(zip_longest(*queues)) if name is not None][:count]
    if not names:
        hint = "give a count of 1 or more and masks of its own image ids"
        raise CorpusError(f"corpus '{corpus.info.name}': no image to show; {hint}")
    rank = {name: place for place, name in enumerate(corpus.index_columns["id"])}
    return sorted(names, key=lambda name: (SPLITS.index(corpus.value(name, "split")), rank[name]))


def _tile(corpus: Corpus, sample: Sample, layer: Layer | None) -> Image.Image:
    """One image with its mask and three lines of caption."""
    kind = layer.kinds[sample.id] if layer else corpus.value(sample.id, "mask_kind")
    picture = Image.fromarray(as_rgb(sample.image))
    scale = TILE / max(picture.size)
    picture = picture.resize((max(1, round(picture.width * scale)), max(1, round(picture.height * scale))))
    drawn = np.asarray(picture)
    for mask in _masks(sample, len(corpus.info.classes), layer):
        if kind == "scribble":
            drawn = _strokes(drawn, mask)
        else:
            drawn = overlay(drawn, resize_mask(mask, picture.height, picture.width))
    tile = Image.new("RGB", (TILE, TILE + CAPTION), PAPER)
    tile.paste(Image.fromarray(drawn), ((TILE - picture.width) // 2, (TILE - picture.height) // 2))
    pen = ImageDraw.Draw(tile)
    for line, text in enumerate(_caption(corpus, sample, kind)):
        pen.text((0, TILE + 2 + line * LINE), _shortened(text), INK, _font())
    return tile


def _strokes(base: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """`base` `[H, W, 3]` with scribbles in solid colour, the background's in white, and nothing elsewhere."""
    step = max(1, mask.shape[0] // base.shape[0])
    smallest = np.asarray(ndimage.minimum_filter(mask, step), np.uint8)  # 255 only where all is
    reduced, drawn = resize_mask(smallest, *base.shape[:2]), base.copy()
    for class_id in np.unique(reduced[reduced != IGNORE]):
        drawn[reduced == class_id] = rgb(colour_of(int(class_id))) if class_id else 255
    return drawn


def _masks(sample: Sample, classes: int, layer: Layer | None) -> list[np.ndarray]:
    """Masks of class ids to draw one over the other, so that overlapping lesions both keep their contour."""
    if layer is not None:
        return [layer.mask(sample.id, sample.image.shape)]
    if sample.bits is None:
        return [] if sample.mask is None else [sample.mask]
    return [k * plane.astype(np.uint8) for k, plane in enumerate(sample.planes(classes), start=1)]


def _caption(corpus: Corpus, sample: Sample, kind: str | None) -> list[str]:
    """Id; split and kind of mask; labels, of which a yes-or-no one is only named where it is yes."""
    words: list[str] = []
    for label, value in zip(corpus.info.labels, sample.labels.tolist(), strict=True):
        if label.values == ["no", "yes"] and value >= 0:
            words += [label.name] * value
        else:
            words.append(f"{label.name} {label.values[value] if value >= 0 else '?'}")
    return [sample.id, f"{sample.split}, {kind or 'no mask'}", ", ".join(words)]


def _shortened(text: str) -> str:
    while _font().getlength(text) > TILE:
        text = text[:-4] + "..."
    return text


def _legend(classes: list[str], width: int) -> Image.Image:
    """A strip of colour patches with the names of the foreground classes, on as many lines as they need."""
    legend = Image.new("RGB", (width, 2 * LINE * len(classes)), PAPER)
    pen, x, y = ImageDraw.Draw(legend), 0, 0
    for class_id, name in list(enumerate(classes))[1:]:
        needed = int(_font().getlength(name)) + 40
        if x and x + needed > width:
            x, y = 0, y + LINE + 4
        pen.rectangle((x, y, x + 14, y + 14), colour_of(class_id))
        pen.text((x + 20, y), name, INK, _font())
        x += needed
    return legend.crop((0, 0, width, y + 2 * LINE))


def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(13)
