"""What a hurried annotator might have drawn (Pan et al., AAAI 2022; all [reconstructed], methods/README 5.1).

A simulator takes the pixels of one class, `[H, W]` bool, and gives those that the weak label claims for it.
"""

from collections.abc import Iterator, Sequence
from functools import cache

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

from framework.core.labels import IGNORE
from framework.core.rng import generator
from framework.labelling.weak.config import Box, Outline, Polygon, Scribble, Simulator

RING = ((-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1))
"""The eight neighbours of a pixel (row, column), clockwise from the one above."""

SIDES = (0, 4, 2, 6)
"""Places in `RING` of the neighbours above, below, right and left."""

ALL_EIGHT = np.ones((3, 3), bool)


def mismatched(names: Sequence[str], share: float, seed: int) -> dict[str, str]:
    """Whose mask an image gets for its own: about `share` of all, in a random circle, that of the next."""
    place = {name: generator("swap", seed, name).random() for name in names}
    circle = sorted((name for name in names if place[name] < share), key=place.__getitem__)
    return dict(zip(circle, circle[1:] + circle[:1], strict=True))


def weaken(mask: np.ndarray, simulator: Simulator, rng: np.random.Generator) -> np.ndarray:
    """The weak label of a true mask, both uint8 `[H, W]` of class ids with 255 where nothing is claimed.

    Later classes are drawn over earlier ones; pixels that carry no label in the truth carry none here.
    """
    drawn = np.full_like(mask, IGNORE if isinstance(simulator, Scribble) else 0)
    for class_id in np.unique(mask[mask != IGNORE]):
        if class_id or isinstance(simulator, Scribble):
            drawn[_claimed(mask == class_id, simulator, rng)] = class_id
    drawn[mask == IGNORE] = IGNORE
    return drawn


def _claimed(inside: np.ndarray, simulator: Simulator, rng: np.random.Generator) -> np.ndarray:
    match simulator:
        case Box():
            return boxes(inside, simulator.jitter, rng)
        case Polygon():
            return polygons(inside, simulator.points, rng)
        case Scribble():
            return strokes(inside, simulator.width, rng)
        case Outline():
            return (erode if simulator.kind == "erode" else dilate)(inside, _draw(simulator.radius, rng))


def boxes(inside: np.ndarray, jitter: float, rng: np.random.Generator) -> np.ndarray:
    """Every component's bounding box, each edge moved by up to `jitter` of its side; not empty."""
    drawn = np.zeros_like(inside)
    for place, _ in _components(inside):
        rows, columns = (_moved(*edge, jitter, rng) for edge in zip(place, inside.shape, strict=True))
        drawn[rows, columns] = True
    return drawn


def _moved(edge: slice, limit: int, jitter: float, rng: np.random.Generator) -> slice:
    moves = rng.uniform(-jitter, jitter, 2) * (edge.stop - edge.start)
    start, stop = np.round(np.add((edge.start, edge.stop), moves)).astype(int)
    start = min(max(start, 0), limit - 1)
    return slice(start, max(stop, start + 1))


def polygons(inside: np.ndarray, points: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """For every component the filled polygon through even border pixels, from a random one on."""
    picture = Image.new("1", inside.shape[::-1])
    pen = ImageDraw.Draw(picture)
    for place, component in _components(inside):
        border = contour(component) + np.array([edge.start for edge in place])
        count = _draw(points, rng)
        corners = border[((np.arange(count) + rng.random()) / count * len(border)).astype(int)]
        pen.polygon([(int(x), int(y)) for y, x in corners], fill=1, outline=1)
    return np.asarray(picture)


def contour(component: np.ndarray) -> np.ndarray:
    """The outer border of an 8-connected component in order, `[N, 2]` (row, column), by Moore's tracing.

    A pixel that the walk passes twice, such as one of a line, is listed twice.
    """
    padded = np.pad(component, 1)
    row, column = np.argwhere(padded)[0]
    heading, first, walked = 0, None, []
    while True:
        # The pixel before lies behind; two steps clockwise from there is the first that may be outside.
        turns = [(heading + 6 + turn) % 8 for turn in range(8)]
        heading = next((turn for turn in turns if padded[row + RING[turn][0], column + RING[turn][1]]), -1)
        state = (row, column, heading)
        if state == first or heading < 0:
            return np.array(walked or [(row, column)]) - 1
        first = first or state
        walked.append((row, column))
        row, column = row + RING[heading][0], column + RING[heading][1]


def strokes(inside: np.ndarray, width: int, rng: np.random.Generator) -> np.ndarray:
    """A skeleton a little off the middle, `width` pixels wide, nowhere outside; each part's is connected."""
    around = lopsided(inside, rng)
    drawn = ndimage.binary_dilation(thin(around, ridges(around)), np.ones((width, width), bool))
    return np.asarray(drawn) & inside


def lopsided(inside: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Peeled from one random side by up to half of the largest depth; no part breaks or vanishes."""
    padded = np.pad(inside, 1).astype(np.uint8)
    removable = _removable(int(rng.choice(SIDES)))
    for _ in range(_draw((0, int(_depth(inside).max()) // 2), rng)):
        code = sum(np.roll(padded, (-row, -column), (0, 1)) << bit for bit, (row, column) in enumerate(RING))
        padded &= ~removable[code]
    return padded[1:-1, 1:-1].astype(bool)


def ridges(inside: np.ndarray) -> np.ndarray:
    """Crests of the city-block distance to the outside, at least half as far in as the component's deepest.

    Shallower crests come from every unevenness of the border, and nobody would draw them.
    """
    depth, numbered = _depth(inside), _numbered(inside)
    deepest = ndimage.maximum(depth, numbered, np.arange(numbered.max() + 1))
    crest = depth == ndimage.maximum_filter(depth, footprint=ndimage.generate_binary_structure(2, 1))
    return inside & crest & (2 * depth >= deepest[numbered])


def _depth(inside: np.ndarray) -> np.ndarray:
    """City-block distance to the outside, in pixels; beyond the picture's frame is outside."""
    return np.asarray(ndimage.distance_transform_cdt(np.pad(inside, 1), "taxicab"))[1:-1, 1:-1]


def thin(inside: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """The skeleton by parallel thinning from four sides in turn (Rosenfeld, Inf. and Control 29, 1975).

    Peels border pixels of one side that are neither `kept` nor ends of a line nor hold parts together:
    connected parts stay so and none vanishes. Only pixels whose neighbourhood may have changed are looked at.
    """
    padded = np.pad(inside, 1).astype(np.uint8)
    ring = np.array([row * padded.shape[1] + column for row, column in RING])
    pixels, free = padded.ravel(), ~np.pad(kept, 1).ravel()
    watched = np.flatnonzero(padded > np.asarray(ndimage.binary_erosion(padded, ALL_EIGHT)))
    while watched.size:
        peeled = []
        for side in SIDES:
            neighbours = (pixels[watched[:, None] + ring] << np.arange(8, dtype=np.uint8)).sum(1)
            removable = _removable(side)[neighbours] & free[watched]
            pixels[watched[removable]] = 0
            peeled.append(watched[removable])
            watched = watched[~removable]
        near = (np.concatenate(peeled)[:, None] + ring).ravel()
        watched = np.unique(near[pixels[near] > 0])
    return padded[1:-1, 1:-1].astype(bool)


@cache
def _removable(side: int) -> np.ndarray:
    """For each of the 256 neighbourhoods (bit i is `RING[i]`), whether its pixel may be peeled from a side:
    it is open there, has two neighbours or more, and joins exactly one part (Yokoi's number, 8-connected)."""
    open_ = (np.arange(256)[:, None] >> np.arange(8) & 1) == 0
    sides, corners, following = open_[:, ::2], open_[:, 1::2], np.roll(open_[:, ::2], -1, axis=1)
    parts = (sides & ~(corners & following)).sum(axis=1)
    return open_[:, side] & (parts == 1) & (open_.sum(axis=1) <= 6)


def erode(inside: np.ndarray, radius: int) -> np.ndarray:
    """Pixels farther than `radius` from every one outside; beyond the frame is outside. May leave nothing."""
    return np.asarray(ndimage.distance_transform_edt(np.pad(inside, 1)))[1:-1, 1:-1] > radius


def dilate(inside: np.ndarray, radius: int) -> np.ndarray:
    """Pixels at most `radius` from one inside; `inside` holds at least one."""
    return np.asarray(ndimage.distance_transform_edt(~inside)) <= radius


def _components(inside: np.ndarray) -> Iterator[tuple[tuple[slice, slice], np.ndarray]]:
    """Bounding box and pixels within it of each 8-connected component."""
    numbered = _numbered(inside)
    for number, place in enumerate(ndimage.find_objects(numbered), start=1):
        yield place, numbered[place] == number


def _numbered(inside: np.ndarray) -> np.ndarray:
    """The number of each pixel's 8-connected component, from 1; 0 outside."""
    return np.asarray(ndimage.label(inside, ALL_EIGHT)[0])  # type: ignore[index]


def _draw(limits: tuple[int, int], rng: np.random.Generator) -> int:
    return int(rng.integers(limits[0], limits[1] + 1))
