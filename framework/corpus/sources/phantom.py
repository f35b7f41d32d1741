"""The built-in phantom: drawn fundus photographs with four kinds of lesion, for tests and first steps.

`draw(seed, index, size)` gives the same pixels on every machine, whatever else was drawn, by three rules:

- Random numbers are raw Philox words keyed by (seed, patient or image), fixed for good, while numpy may
  change how `normal` or `integers` spend them.
- Pixels are made with + - * / sqrt and comparisons in float64, which IEEE 754 defines to the last bit; `sin`,
  `exp` and `power` differ between machines.
- No float is summed by a reduction, whose order depends on the vector width; shapes merge by maximum.

The scene is in units of half the image width, x right and y down, the centre at (0, 0), and does not
depend on `size`: vessels and lesions are lists of discs [n, 3] (x, y, radius). Every image is drawn as a
right eye (optic disc on the right) and mirrored for a left one. Patient p owns the images 2p and 2p + 1:
same pigment and camera, similar severity.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from framework.corpus.schema import ROW, LabelInfo
from framework.corpus.sources.phantom_canvas import LESIONS, Canvas, Patient
from framework.corpus.sources.phantom_random import Array, Words, turn
from framework.corpus.writer import Source
from framework.imaging.decode import encode_png

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


@dataclass(frozen=True)
class Phantom:
    """One image [H, W, 3], and its lesions [H, W]: bit i of `bits` is `LESIONS[i]`; they may overlap."""

    image: NDArray[np.uint8]
    bits: NDArray[np.uint8]
    counts: tuple[int, ...]
    """How many lesions of each kind were placed."""
    grade: int
    patient: str
    eye: Literal["left", "right"]

    @property
    def labels(self) -> list[int]:
        """Image-level labels in the order of `LABELS`."""
        return [self.grade, *(int((self.bits >> kind & 1).any()) for kind in range(len(LESIONS)))]


def source(name: str, images: int, size: int = 128, seed: int = 0) -> Source:
    """A phantom of `images` pictures of `size` x `size` pixels as a source of rows; seed in 0..2^63 - 1."""
    return Source(
        name=name,
        fingerprint=f"phantom:{images}:{size}:{seed}",
        total=images,
        classes=CLASSES,
        encoding="bits",
        labels=LABELS,
        channels=3,
        rows=lambda start: rows(images - start, seed, size, start),
    )


def rows(images: int, seed: int, size: int, start: int = 0) -> Iterator[dict[str, Any]]:
    """Rows of the images start .. start + images - 1, drawn and encoded one at a time."""
    for index in range(start, start + images):
        phantom = draw(seed, index, size)
        yield {
            **dict.fromkeys(ROW.names),
            "id": f"phantom-{index:06d}",
            "group": phantom.patient,
            "split": split_of(seed, phantom.patient),
            "image": encode_png(phantom.image, compress_level=1),
            "mask": encode_png(phantom.bits, compress_level=1),
            "mask_kind": "mask",
            "labels": phantom.labels,
            "source": f"phantom:{seed}",
        }


def split_of(seed: int, patient: str) -> str:
    """The split of a patient, by hash: about 70 % train, 10 % val, 20 % test."""
    place = int.from_bytes(hashlib.sha256(f"{seed}/{patient}".encode()).digest()[:4], "big") % 100
    return "train" if place < 70 else "val" if place < 80 else "test"


def grade_of(counts: tuple[int, ...]) -> int:
    """The grade by the number of lesions (MA, HE, EX, SE), after the international clinical scale.

    0 no lesion; 1 microaneurysms only; 2 any haemorrhage or hard exudate; 3 one severe sign; 4 both severe
    signs. The severe signs are many (`MANY`) haemorrhages, and any soft exudate.
    """
    dots, bleeds, hard, soft = counts
    signs = (bleeds >= MANY) + (soft > 0)
    return 2 + signs if signs or bleeds or hard else int(dots > 0)


def draw(seed: int, index: int, size: int) -> Phantom:
    """Draw image `index` of the phantom `seed`; from a size of 64 pixels on, lesions can be told apart."""
    patient = _patient(seed, index // 2)
    words = Words(seed, index, purpose=1)
    counts = _counts(words, patient.severity)
    disc = words.uniform(np.array([0.50, -0.07]), np.array([0.72, 0.07]), 2)
    macula = disc + words.uniform(np.array([-0.72, 0.02]), np.array([-0.62, 0.10]), 2)
    vessels = _vessels(words, disc, macula)
    lesions = _lesions(words, patient, counts, disc, macula, np.concatenate([*vessels.values()]))
    canvas = Canvas(words, patient, size)
    canvas.anatomy(disc, macula, vessels)
    bits, image = canvas.lesions(lesions), canvas.develop()
    eye, step = ("left", -1) if index % 2 else ("right", 1)
    image, bits = (np.ascontiguousarray(plane[:, ::step]) for plane in (image, bits))
    return Phantom(image, bits, counts, grade_of(counts), f"patient-{index // 2:06d}", eye)


def _patient(seed: int, number: int) -> Patient:
    words = Words(seed, number, purpose=0)
    severity = int((words.uniform(0, 1) >= SEVERITY).sum())
    lightness, hue = words.uniform(0, 1, 2)
    dark, light = PIGMENTS[0] + hue * (PIGMENTS[1] - PIGMENTS[0])
    return Patient(
        severity=severity,
        pigment=(dark + lightness * (light - dark)) * words.uniform(0.85, 1.1),
        streaks=float(words.uniform(0, 0.12)),
        disc_radius=float(words.uniform(0.125, 0.165)),
        flat=float(words.uniform(0.80, 1.10)),
        drusen=max(0, words.integer(-6, 5)),
    )


def _counts(words: Words, severity: int) -> tuple[int, ...]:
    """Lesion counts of one eye, which is now and then one grade better or worse than its patient."""
    grade = min(4, max(0, severity + (words.integer(0, 9) == 0) - (words.integer(0, 9) == 0)))
    plan = PLANS[grade][words.integer(0, len(PLANS[grade]) - 1)]
    return tuple(words.integer(low, high) for low, high in plan)


def _lesions(
    words: Words, patient: Patient, counts: tuple[int, ...], disc: Array, macula: Array, vessels: Array
) -> dict[str, Array]:
    """Discs of each kind of lesion and of the drusen: in the field, off the optic disc, mostly by vessels."""

    def beside(points: Array, low: float, high: float) -> Array:
        sites = points + words.headings(len(points)) * words.uniform(low, high, len(points), 1)
        off_disc = _distance(sites, disc) > 1.5 * patient.disc_radius
        in_field = (_distance(sites, np.zeros(2)) < 0.86) & (np.abs(sites[:, 1]) < patient.flat - 0.1)
        return sites[off_disc & in_field]

    dots, bleeds, hard, soft = counts
    ring = beside(np.tile(macula, (64, 1)), 0.16, 0.42)
    dot_sites = words.pick(beside(vessels[:, :2], 0.03, 0.08), dots)
    bleed_sites = words.pick(beside(vessels[:, :2], 0.0, 0.08), bleeds)
    soft_sites = words.pick(beside(vessels[:, :2], 0.05, 0.14), soft)
    # Exudate collects round the macula, and at the rim of a resorbing haemorrhage or of a soft exudate.
    hosts = np.concatenate([ring[:8], beside(np.concatenate([bleed_sites[:2], soft_sites[:1]]), 0.02, 0.06)])
    return {
        "drusen": _cluster(words, words.pick(ring, patient.drusen), 5, (0.05, 0.09), (0.2, 0.3)),
        "SE": _cluster(words, soft_sites, 5, (0.09, 0.14), (0.5, 0.8)),
        "HE": _cluster(words, bleed_sites, 5, (0.045, 0.09), (0.40, 0.75)),
        "EX": _cluster(words, words.pick(hosts, hard), 12, (0.06, 0.14), (0.14, 0.32)),
        "MA": _cluster(words, dot_sites, 1, (0.021, 0.030), (1.0, 1.0)),
    }


def _cluster(
    words: Words, sites: Array, parts: int, extent: tuple[float, float], share: tuple[float, float]
) -> Array:
    """Each site [n, 2] as `parts` discs, their radius a share of the extent, in a long or round area."""
    count = len(sites)
    size, stretch = words.uniform(*extent, count), words.uniform(0.5, 1.0, count)
    along = words.headings(count)
    across = np.stack([-along[:, 1], along[:, 0]], axis=1) * stretch[:, None]
    radius = words.uniform(*share, parts, count) * size
    u, v = words.noise(2, parts, count) * (size - radius)
    places = sites + u[:, :, None] * along + v[:, :, None] * across
    return np.concatenate([places, radius[:, :, None]], axis=2).reshape(-1, 3)


def _vessels(words: Words, disc: Array, macula: Array) -> dict[str, Array]:
    """Four arcades of an artery and a vein each, which branch twice; none crosses the macula."""
    up = np.tile([-1.0, -1.0, 1.0, 1.0], 2)
    temporal = np.repeat([1.0, 0.0], 4)
    outward = np.stack([0.6 - 0.9 * temporal, (0.8 + 0.15 * temporal) * up], axis=1)
    heading = turn(outward, words.uniform(-0.15, 0.15, 8))
    bend = up * (0.044 * temporal - 0.012) * words.uniform(0.75, 1.15, 8)
    place = disc + words.uniform(-0.03, 0.03, 8, 2)
    radius = np.tile([0.014, 0.018], 4) * words.uniform(0.85, 1.1, 8)
    discs, between = [], np.arange(4)[:, None, None, None] / 4.0  # so close that they merge to a line
    for steps, branches in ((27, 4), (14, 2), (10, 0)):
        path, headings = _grow(words, place, heading, bend, radius, steps)
        discs.append((path[:-1] + between * (path[1:] - path[:-1])).reshape(-1, len(bend), 3))
        parent = np.tile(np.arange(len(bend)), branches)  # an even number: artery and vein keep alternating
        step = words.uniform(2, steps - 2, len(parent)).astype(np.int64)
        side = words.signs(len(parent))
        place, radius = path[step, parent, :2], 0.72 * path[step, parent, 2]
        heading = turn(headings[step, parent], side * words.uniform(0.25, 0.5, len(parent)))
        bend = -side * words.uniform(0.0, 0.05, len(parent))
    sorts = {}
    for offset, name in ((1, "vein"), (0, "artery")):
        points = np.concatenate([path[:, offset::2].reshape(-1, 3) for path in discs])
        sorts[name] = points[(np.abs(points[:, :2]) < 1).all(axis=1) & (_distance(points, macula) > 0.13)]
    return sorts


def _grow(
    words: Words, place: Array, heading: Array, bend: Array, radius: Array, steps: int
) -> tuple[Array, Array]:
    """Grow n vessels: discs [steps, n, 3] and headings [steps, n, 2]; thin vessels take shorter steps."""
    discs, headings = [], []
    for step in range(steps):
        discs.append(np.concatenate([place, (radius * (1 - 0.6 * step / steps))[:, None]], axis=1))
        headings.append(heading)
        heading = turn(heading, bend + words.uniform(-0.07, 0.07, len(bend)))
        place = place + heading * (0.02 + 1.6 * radius)[:, None]
    return np.stack(discs), np.stack(headings)


def _distance(points: Array, centre: Array) -> Array:
    dx, dy = points[:, 0] - centre[0], points[:, 1] - centre[1]
    return np.sqrt(dx * dx + dy * dy)
