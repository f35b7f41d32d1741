"""The built-in phantom: small drawn fundus photographs with four kinds of diabetic lesion, for tests and first steps.

`draw(seed, index, size)` gives the same pixels on every machine, whatever else was drawn. Three rules keep it so:

- Random numbers are raw Philox words keyed by (seed, patient or image). The words of a bit generator are fixed for
  good, while numpy may change how `normal` or `integers` spend them.
- Pixels are made with + - * / sqrt and comparisons in float64 only. IEEE 754 defines these to the last bit; `sin`,
  `exp` and `power` come from a maths library or a SIMD table and differ between machines. Hence directions by the
  rational parametrisation of the circle, falloffs by polynomials and fractions, noise by sums of two uniform numbers.
- No float is summed by a reduction (numpy's order of addition depends on the vector width); shapes merge by maximum.

The scene is in units of half the image width, x right and y down, the centre at (0, 0), and does not depend on `size`:
vessels and lesions are lists of discs [n, 3] (x, y, radius). Every image is drawn as a right eye (optic disc on the
right) and mirrored for a left one. Patient p owns the images 2p and 2p + 1: same pigment and camera, similar severity.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from framework.corpus.schema import ROW, LabelInfo

Array = NDArray[np.float64]

LESIONS = ("MA", "HE", "EX", "SE")
CLASSES = ["background", "microaneurysm", "haemorrhage", "hard exudate", "soft exudate"]
LABELS = [
    LabelInfo(name="grade", values=["none", "mild", "moderate", "severe", "very severe"]),
    *(LabelInfo(name=f"has_{lesion}", values=["no", "yes"]) for lesion in LESIONS),
]

MANY = 6  # haemorrhages that are a severe sign
SEVERITY = np.array([0.29, 0.51, 0.75, 0.90])  # share of patients below severity 1, 2, 3, 4
PLANS = (
    (((0, 0), (0, 0), (0, 0), (0, 0)),),
    (((2, 7), (0, 0), (0, 0), (0, 0)),),
    (((3, 9), (1, 4), (0, 3), (0, 0)), ((3, 9), (0, 0), (1, 4), (0, 0))),
    (((5, 12), (MANY, 10), (0, 4), (0, 0)), ((5, 12), (1, 4), (0, 4), (1, 2))),
    (((6, 14), (MANY, 12), (1, 5), (1, 4)),),
)
"""The alternatives of each grade: (fewest, most) of MA, HE, EX and SE."""

PIGMENTS = np.array([[[0.50, 0.17, 0.07], [0.86, 0.43, 0.10]], [[0.62, 0.44, 0.13], [0.76, 0.44, 0.36]]])
"""Colours of the fundus to mix from, dark and light by two; red, green, blue in 0..1."""

TINTS = {"macula": (0.62, 0.48, 0.52), "halo": (1.25, 1.25, 1.25), "vein": (0.62, 0.36, 0.48)}
TINTS |= {"artery": (0.80, 0.52, 0.58), "HE": (0.50, 0.24, 0.34), "MA": (0.48, 0.16, 0.26)}
"""Colours as a multiple of the patient's pigment."""

PAINTS = {"leak": (0.75, 0.62, 0.50), "disc": (1.0, 0.76, 0.44), "cup": (1.0, 0.92, 0.70)}
PAINTS |= {"drusen": (1.0, 0.93, 0.46), "SE": (0.96, 0.90, 0.72), "EX": (1.0, 0.93, 0.46)}
"""Colours that every patient shares."""

EDGES = {"drusen": (0.050, 0.0, 0.16), "SE": (0.070, 0.030, 0.62), "HE": (0.020, 0.016, 0.90)}
EDGES |= {"EX": (0.008, 0.008, 0.88), "MA": (0.014, 0.0, 0.95)}
"""Softness and raggedness of the outline, and opacity, in the order of painting. Drusen are no lesion: a distractor."""


@dataclass(frozen=True)
class Phantom:
    """One image, uint8 [H, W, 3], and its lesions: bit i of `bits`, uint8 [H, W], is `LESIONS[i]`; they may overlap.

    counts: how many lesions of each kind were placed; grade: 0..4, `grade_of(counts)`; eye: "left" or "right".
    """

    image: NDArray[np.uint8]
    bits: NDArray[np.uint8]
    counts: tuple[int, ...]
    grade: int
    patient: str
    eye: str

    @property
    def labels(self) -> list[int]:
        """Image-level labels in the order of `LABELS`."""
        return [self.grade, *(int((self.bits >> kind & 1).any()) for kind in range(len(LESIONS)))]


def rows(images: int, seed: int, size: int, start: int = 0) -> Iterator[dict[str, Any]]:
    """Corpus rows (`schema.ROW`) of the images start .. start + images - 1, drawn and encoded one at a time."""
    for index in range(start, start + images):
        phantom = draw(seed, index, size)
        image = _png(phantom.image)
        yield {
            **dict.fromkeys(ROW.names),
            "id": f"phantom-{index:06d}",
            "group": phantom.patient,
            "split": split_of(seed, phantom.patient),
            "image": image,
            "height": size,
            "width": size,
            "mask": _png(phantom.bits),
            "mask_kind": "mask",
            "labels": phantom.labels,
            "source": f"phantom:{seed}",
            "hash": hashlib.sha256(image).hexdigest(),
        }


def _png(pixels: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def split_of(seed: int, patient: str) -> str:
    """The split of a patient, by hash: about 70 % train, 10 % val, 20 % test."""
    place = int.from_bytes(hashlib.sha256(f"{seed}/{patient}".encode()).digest()[:4], "big") % 100
    return "train" if place < 70 else "val" if place < 80 else "test"


def grade_of(counts: tuple[int, ...]) -> int:
    """The grade by the number of lesions (MA, HE, EX, SE), after the international clinical scale.

    0 no lesion; 1 microaneurysms only; 2 any haemorrhage or hard exudate; 3 one severe sign; 4 both severe signs.
    The severe signs are many (`MANY`) haemorrhages, and any soft exudate.
    """
    dots, bleeds, hard, soft = counts
    signs = (bleeds >= MANY) + (soft > 0)
    return 2 + signs if signs or bleeds or hard else int(dots > 0)


def draw(seed: int, index: int, size: int) -> Phantom:
    """Draw image `index` of the phantom `seed`, [size, size, 3]; from 64 pixels on the lesions can be told apart."""
    patient = _patient(seed, index // 2)
    stream = Stream(seed, index, purpose=1)
    counts = _counts(stream, patient.severity)
    disc = stream.uniform(np.array([0.50, -0.07]), np.array([0.72, 0.07]), 2)
    macula = disc + stream.uniform(np.array([-0.72, 0.02]), np.array([-0.62, 0.10]), 2)
    vessels = _vessels(stream, disc, macula)
    lesions = _lesions(stream, patient, counts, disc, macula, np.concatenate([*vessels.values()]))
    canvas = Canvas(stream, patient, size)
    canvas.anatomy(disc, macula, vessels)
    bits, image = canvas.lesions(lesions), canvas.develop()
    eye, step = ("left", -1) if index % 2 else ("right", 1)
    image, bits = (np.ascontiguousarray(plane[:, ::step]) for plane in (image, bits))
    return Phantom(image, bits, counts, grade_of(counts), f"patient-{index // 2:06d}", eye)


class Stream:
    """Uniform random numbers of one (seed, number, purpose), from raw Philox words."""

    def __init__(self, seed: int, number: int, purpose: int) -> None:
        self._words = np.random.Philox(counter=[0, 0, 0, purpose], key=[seed, number])

    def uniform(self, low: float | Array, high: float | Array, *shape: int) -> Array:
        """Numbers of the given shape in [low, high)."""
        unit = np.asarray(self._words.random_raw(shape) >> np.uint64(11), np.float64) * 2.0**-53
        return low + unit * (high - low)

    def integer(self, low: int, high: int) -> int:
        """A whole number in low..high, both included."""
        return low + int(self.uniform(0, high - low + 1))

    def pick(self, sites: Array, count: int) -> Array:
        """`count` of the sites [n, 2], with replacement."""
        return sites[self.uniform(0, len(sites), count).astype(np.int64)]

    def signs(self, count: int) -> Array:
        """-1 or 1, [count]."""
        return np.where(self.uniform(0, 1, count) < 0.5, -1.0, 1.0)

    def headings(self, count: int) -> Array:
        """Unit vectors [count, 2] all round the circle."""
        return _turn(np.stack([self.signs(count), np.zeros(count)], axis=1), self.uniform(-1, 1, count))

    def noise(self, *shape: int) -> Array:
        """Noise in -1..1 with a triangular distribution."""
        return self.uniform(-0.5, 0.5, *shape) + self.uniform(-0.5, 0.5, *shape)


@dataclass(frozen=True)
class Patient:
    """What both eyes share. Pigment is [3] in 0..1, lengths in half image widths."""

    severity: int
    pigment: Array
    streaks: float
    disc_radius: float
    flat: float
    drusen: int


def _patient(seed: int, number: int) -> Patient:
    stream = Stream(seed, number, purpose=0)
    severity = int((stream.uniform(0, 1) >= SEVERITY).sum())
    lightness, hue = stream.uniform(0, 1, 2)
    dark, light = PIGMENTS[0] + hue * (PIGMENTS[1] - PIGMENTS[0])
    return Patient(
        severity=severity,
        pigment=(dark + lightness * (light - dark)) * stream.uniform(0.85, 1.1),
        streaks=float(stream.uniform(0, 0.12)),
        disc_radius=float(stream.uniform(0.125, 0.165)),
        flat=float(stream.uniform(0.80, 1.10)),  # where the camera cuts the field at top and bottom; above 1, nowhere
        drusen=max(0, stream.integer(-6, 5)),
    )


def _counts(stream: Stream, severity: int) -> tuple[int, ...]:
    """Lesion counts of one eye, which is now and then one grade better or worse than its patient."""
    grade = min(4, max(0, severity + (stream.integer(0, 9) == 0) - (stream.integer(0, 9) == 0)))
    plan = PLANS[grade][stream.integer(0, len(PLANS[grade]) - 1)]
    return tuple(stream.integer(low, high) for low, high in plan)


def _lesions(
    stream: Stream, patient: Patient, counts: tuple[int, ...], disc: Array, macula: Array, vessels: Array
) -> dict[str, Array]:
    """Discs of each kind of lesion and of the drusen: inside the field, off the optic disc, mostly beside vessels."""

    def allowed(points: Array) -> Array:
        off_disc = _distance(points, disc) > 1.5 * patient.disc_radius
        return points[off_disc & (_distance(points, np.zeros(2)) < 0.86) & (np.abs(points[:, 1]) < patient.flat - 0.1)]

    def beside(points: Array, low: float, high: float) -> Array:
        return allowed(points + stream.headings(len(points)) * stream.uniform(low, high, len(points), 1))

    dots, bleeds, hard, soft = counts
    ring = beside(np.tile(macula, (64, 1)), 0.16, 0.42)
    dot_sites = stream.pick(beside(vessels[:, :2], 0.03, 0.08), dots)
    bleed_sites = stream.pick(beside(vessels[:, :2], 0.0, 0.08), bleeds)
    soft_sites = stream.pick(beside(vessels[:, :2], 0.05, 0.14), soft)
    # Exudate collects round the macula, and at the rim of a resorbing haemorrhage or of a soft exudate.
    hosts = np.concatenate([ring[:8], beside(np.concatenate([bleed_sites[:2], soft_sites[:1]]), 0.02, 0.06)])
    return {
        "drusen": _cluster(stream, stream.pick(ring, patient.drusen), 5, (0.05, 0.09), (0.2, 0.3)),
        "SE": _cluster(stream, soft_sites, 5, (0.09, 0.14), (0.5, 0.8)),
        "HE": _cluster(stream, bleed_sites, 5, (0.045, 0.09), (0.40, 0.75)),
        "EX": _cluster(stream, stream.pick(hosts, hard), 12, (0.06, 0.14), (0.14, 0.32)),
        "MA": _cluster(stream, dot_sites, 1, (0.021, 0.030), (1.0, 1.0)),
    }


def _cluster(stream: Stream, sites: Array, parts: int, extent: tuple[float, float], share: tuple[float, float]) -> Array:
    """Each site [n, 2] as `parts` discs, their radius a share of the extent, scattered over a long or round area."""
    count = len(sites)
    size, stretch = stream.uniform(*extent, count), stream.uniform(0.5, 1.0, count)
    along = stream.headings(count)
    across = np.stack([-along[:, 1], along[:, 0]], axis=1) * stretch[:, None]
    radius = stream.uniform(*share, parts, count) * size
    u, v = stream.noise(2, parts, count) * (size - radius)
    places = sites + u[:, :, None] * along + v[:, :, None] * across
    return np.concatenate([places, radius[:, :, None]], axis=2).reshape(-1, 3)


def _vessels(stream: Stream, disc: Array, macula: Array) -> dict[str, Array]:
    """Four arcades of one artery and one vein each, which branch twice; none crosses the vessel-free macula."""
    up = np.tile([-1.0, -1.0, 1.0, 1.0], 2)
    temporal = np.repeat([1.0, 0.0], 4)
    outward = np.stack([0.6 - 0.9 * temporal, (0.8 + 0.15 * temporal) * up], axis=1)
    heading = _turn(outward, stream.uniform(-0.15, 0.15, 8))
    bend = up * (0.044 * temporal - 0.012) * stream.uniform(0.75, 1.15, 8)
    place = disc + stream.uniform(-0.03, 0.03, 8, 2)
    radius = np.tile([0.014, 0.018], 4) * stream.uniform(0.85, 1.1, 8)
    discs, between = [], np.arange(4)[:, None, None, None] / 4.0  # so close that they merge to a line
    for steps, branches in ((27, 4), (14, 2), (10, 0)):
        path, headings = _grow(stream, place, heading, bend, radius, steps)
        discs.append((path[:-1] + between * (path[1:] - path[:-1])).reshape(-1, len(bend), 3))
        parent = np.tile(np.arange(len(bend)), branches)  # an even number: artery and vein keep alternating
        step = stream.uniform(2, steps - 2, len(parent)).astype(np.int64)
        side = stream.signs(len(parent))
        place, radius = path[step, parent, :2], 0.72 * path[step, parent, 2]
        heading = _turn(headings[step, parent], side * stream.uniform(0.25, 0.5, len(parent)))
        bend = -side * stream.uniform(0.0, 0.05, len(parent))
    sorts = {}
    for offset, name in ((1, "vein"), (0, "artery")):
        points = np.concatenate([path[:, offset::2].reshape(-1, 3) for path in discs])
        sorts[name] = points[(np.abs(points[:, :2]) < 1).all(axis=1) & (_distance(points, macula) > 0.13)]
    return sorts


def _grow(stream: Stream, place: Array, heading: Array, bend: Array, radius: Array, steps: int) -> tuple[Array, Array]:
    """Grow n vessels side by side: discs [steps, n, 3] and headings [steps, n, 2]; thin vessels take shorter steps."""
    discs, headings = [], []
    for step in range(steps):
        discs.append(np.concatenate([place, (radius * (1 - 0.6 * step / steps))[:, None]], axis=1))
        headings.append(heading)
        heading = _turn(heading, bend + stream.uniform(-0.07, 0.07, len(bend)))
        place = place + heading * (0.02 + 1.6 * radius)[:, None]
    return np.stack(discs), np.stack(headings)


def _turn(heading: Array, half: Array) -> Array:
    """Turn headings [n, 2] by the angles whose half has the tangent `half` [n]: exact arithmetic, no sine."""
    square = half * half
    cosine, sine = (1 - square) / (1 + square), 2 * half / (1 + square)
    x, y = heading[:, 0], heading[:, 1]
    return np.stack([cosine * x - sine * y, sine * x + cosine * y], axis=1)


def _distance(points: Array, centre: Array) -> Array:
    dx, dy = points[:, 0] - centre[0], points[:, 1] - centre[1]
    return np.sqrt(dx * dx + dy * dy)


class Canvas:
    """The picture while it is painted: planes [3, H, W], nominally 0..1, and the light [H, W] that falls on it."""

    def __init__(self, stream: Stream, patient: Patient, size: int) -> None:
        self.stream, self.patient, self.size = stream, patient, size
        tints = {name: patient.pigment * np.array(tint) for name, tint in TINTS.items()}
        self.colours = {**tints, **{name: np.array(paint) for name, paint in PAINTS.items()}}
        self.wobble = _clouds(stream, 40, size)
        centres = (np.arange(size, dtype=np.float64) + 0.5) * (2.0 / size) - 1.0
        self.x, self.y = x, y = centres[None, :], centres[:, None]
        radius = np.sqrt(x * x + y * y)
        self.field = _clip(np.minimum(0.97 - radius, patient.flat - np.abs(y)) * (size / 2.0) + 0.5)
        tilt_x, tilt_y = stream.uniform(-0.22, 0.22, 2)
        self.light = (1 - stream.uniform(0.15, 0.5) * radius * radius) * (1 + tilt_x * x + tilt_y * y)
        coarse, middle, fine = (_clouds(stream, cells, size) for cells in (5, 15, 26))
        texture = 1 + 0.07 * coarse + 0.04 * fine + patient.streaks * (1 - 2.5 * np.abs(0.6 * middle + 0.4 * fine))
        self.planes = patient.pigment[:, None, None] * (self.light * texture)
        leak = np.maximum(stream.uniform(-0.5, 0.35), 0.0)  # stray light at the rim, on some images
        self._blend("leak", leak * _smooth((radius - 0.62) * 3.0))

    def _blend(self, name: str, alpha: Array) -> None:
        self.planes += alpha * (self.colours[name][:, None, None] * self.light - self.planes)

    def anatomy(self, disc: Array, macula: Array, vessels: dict[str, Array]) -> None:
        """Paint macula, optic disc with its cup, veins, and arteries over them."""
        dx, dy = self.x - macula[0], self.y - macula[1]
        fall = 1 + 32 * (dx * dx + dy * dy)
        self._blend("macula", 1 / (fall * fall))
        dx, dy = self.x - disc[0], (self.y - disc[1]) * 0.88
        ring = np.sqrt(dx * dx + dy * dy) / self.patient.disc_radius
        self._blend("halo", 0.5 * _smooth(2.4 - 1.4 * ring))
        self._blend("disc", 0.85 * _smooth((1.12 - ring) * 4.0))
        self._blend("cup", 0.8 * _smooth((0.62 - ring) * 3.0))
        for name, discs in vessels.items():
            self._blend(name, 0.9 * _clip(_depth(discs, self.size, 0.5) + 0.5))

    def lesions(self, lesions: dict[str, Array]) -> NDArray[np.uint8]:
        """Paint the lesions and return their bits [H, W]; a lesion ends where its edge is half way to transparent."""
        bits = np.zeros((self.size, self.size), np.uint8)
        for name, (softness, raggedness, opacity) in EDGES.items():
            if not len(lesions[name]):
                continue
            soft, ragged = max(1.0, softness * self.size / 2), raggedness * self.size / 2
            depth = _depth(lesions[name], self.size, soft / 2 + ragged, smallest=0.75) + ragged * self.wobble
            alpha = _smooth(depth / soft + 0.5) * self.field
            self._blend(name, opacity * alpha)
            if name in LESIONS:
                bits |= (alpha >= 0.5).astype(np.uint8) << LESIONS.index(name)
        return bits

    def develop(self) -> NDArray[np.uint8]:
        """The picture uint8 [H, W, 3]: exposure, sensor noise, the dark surround."""
        grain = self.stream.uniform(0.010, 0.035) * self.stream.noise(3, self.size, self.size)
        exposed = _clip((self.planes * self.stream.uniform(0.85, 1.1) + grain) * self.field)
        return (exposed * 255.0 + 0.5).astype(np.uint8).transpose(1, 2, 0)


def _clip(share: Array) -> Array:
    return np.minimum(np.maximum(share, 0.0), 1.0)


def _smooth(share: Array) -> Array:
    """Clip to 0..1 with a soft start and end: 3 t^2 - 2 t^3."""
    clipped = _clip(share)
    return clipped * clipped * (3 - 2 * clipped)


def _clouds(stream: Stream, cells: int, size: int) -> Array:
    """Smooth noise [H, W] in -1..1: a random lattice of `cells` across, interpolated."""
    lattice = stream.uniform(-1, 1, cells + 1, cells + 1)
    at = (np.arange(size, dtype=np.float64) + 0.5) * (cells / size)
    low = np.floor(at).astype(np.int64)
    weight = _smooth(at - low)
    rows = lattice[low] + weight[:, None] * (lattice[low + 1] - lattice[low])
    return rows[:, low] + weight * (rows[:, low + 1] - rows[:, low])


def _depth(discs: Array, size: int, margin: float, smallest: float = 0.0) -> Array:
    """How deep each pixel [H, W] lies inside the nearest disc, in pixels; right down to `-margin`, far below beyond.

    Each disc touches only its bounding box. No radius is taken below `smallest` pixels.
    """
    scale = size / 2.0
    x, y = (discs[:, 0] + 1) * scale - 0.5, (discs[:, 1] + 1) * scale - 0.5
    radius = np.maximum(discs[:, 2] * scale, smallest)
    reach = int(radius.max() + margin) + 2
    window = np.arange(-reach, reach + 1)
    column, row = np.floor(x).astype(np.int64)[:, None] + window, np.floor(y).astype(np.int64)[:, None] + window
    dx, dy = column - x[:, None], row - y[:, None]
    depth = radius[:, None, None] - np.sqrt((dy * dy)[:, :, None] + (dx * dx)[:, None, :])
    border = reach + 1  # discs at the frame reach over it
    field = np.full((size + 2 * border, size + 2 * border), -1e6)
    place = (row + border)[:, :, None] * len(field) + (column + border)[:, None, :]
    np.maximum.at(field.reshape(-1), place.reshape(-1), depth.reshape(-1))
    return field[border:-border, border:-border]
