"""How a phantom is painted: fundus, vessels and lesions, by the exact arithmetic of `phantom`'s rules."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from framework.corpus.sources.phantom_random import Array, Words

LESIONS = ("MA", "HE", "EX", "SE")

TINTS = {"macula": (0.62, 0.48, 0.52), "halo": (1.25, 1.25, 1.25), "vein": (0.62, 0.36, 0.48)}
TINTS |= {"artery": (0.80, 0.52, 0.58), "HE": (0.50, 0.24, 0.34), "MA": (0.48, 0.16, 0.26)}
"""Colours as a multiple of the patient's pigment."""
PAINTS = {"leak": (0.75, 0.62, 0.50), "disc": (1.0, 0.76, 0.44), "cup": (1.0, 0.92, 0.70)}
PAINTS |= {"drusen": (1.0, 0.93, 0.46), "SE": (0.96, 0.90, 0.72), "EX": (1.0, 0.93, 0.46)}
"""Colours that every patient shares."""
EDGES = {"drusen": (0.050, 0.0, 0.16), "SE": (0.070, 0.030, 0.62), "HE": (0.020, 0.016, 0.90)}
EDGES |= {"EX": (0.008, 0.008, 0.88), "MA": (0.014, 0.0, 0.95)}
"""Softness and raggedness of the outline, and opacity, in the order of painting. Drusen only distract."""


@dataclass(frozen=True)
class Patient:
    """What both eyes share. Pigment is [3] in 0..1, lengths in half image widths."""

    severity: int
    pigment: Array
    streaks: float
    disc_radius: float
    flat: float
    """Where the camera cuts the field at top and bottom; above 1, nowhere."""
    drusen: int


class Canvas:
    """The picture while it is painted: planes [3, H, W], nominally 0..1, and the light [H, W] on it."""

    def __init__(self, words: Words, patient: Patient, size: int) -> None:
        self.words, self.patient, self.size = words, patient, size
        tints = {name: patient.pigment * np.array(tint) for name, tint in TINTS.items()}
        self.colours = {**tints, **{name: np.array(paint) for name, paint in PAINTS.items()}}
        self.wobble = _clouds(words, 40, size)
        centres = (np.arange(size, dtype=np.float64) + 0.5) * (2.0 / size) - 1.0
        self.x, self.y = x, y = centres[None, :], centres[:, None]
        radius = np.sqrt(x * x + y * y)
        self.field = np.clip(np.minimum(0.97 - radius, patient.flat - np.abs(y)) * (size / 2.0) + 0.5, 0, 1)
        tilt_x, tilt_y = words.uniform(-0.22, 0.22, 2)
        self.light = (1 - words.uniform(0.15, 0.5) * radius * radius) * (1 + tilt_x * x + tilt_y * y)
        coarse, middle, fine = (_clouds(words, cells, size) for cells in (5, 15, 26))
        streaks = patient.streaks * (1 - 2.5 * np.abs(0.6 * middle + 0.4 * fine))
        texture = 1 + 0.07 * coarse + 0.04 * fine + streaks
        self.planes = patient.pigment[:, None, None] * (self.light * texture)
        leak = np.maximum(words.uniform(-0.5, 0.35), 0.0)  # stray light at the rim, on some images
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
            self._blend(name, 0.9 * np.clip(_depth(discs, self.size, 0.5) + 0.5, 0, 1))

    def lesions(self, lesions: dict[str, Array]) -> NDArray[np.uint8]:
        """Paint the lesions and return their bits [H, W]; a lesion ends where its edge is half opaque."""
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
        grain = self.words.uniform(0.010, 0.035) * self.words.noise(3, self.size, self.size)
        exposed = np.clip((self.planes * self.words.uniform(0.85, 1.1) + grain) * self.field, 0, 1)
        return (exposed * 255.0 + 0.5).astype(np.uint8).transpose(1, 2, 0)


def _smooth(share: Array) -> Array:
    """Clip to 0..1 with a soft start and end: 3 t^2 - 2 t^3."""
    clipped = np.clip(share, 0, 1)
    return clipped * clipped * (3 - 2 * clipped)


def _clouds(words: Words, cells: int, size: int) -> Array:
    """Smooth noise [H, W] in -1..1: a random lattice of `cells` across, interpolated."""
    lattice = words.uniform(-1, 1, cells + 1, cells + 1)
    at = (np.arange(size, dtype=np.float64) + 0.5) * (cells / size)
    low = np.floor(at).astype(np.int64)
    weight = _smooth(at - low)
    rows = lattice[low] + weight[:, None] * (lattice[low + 1] - lattice[low])
    return rows[:, low] + weight * (rows[:, low + 1] - rows[:, low])


def _depth(discs: Array, size: int, margin: float, smallest: float = 0.0) -> Array:
    """How deep each pixel [H, W] lies in the nearest disc, in pixels; right down to `-margin`, less beyond.

    Each disc touches only its bounding box. No radius is taken below `smallest` pixels.
    """
    scale = size / 2.0
    x, y = (discs[:, 0] + 1) * scale - 0.5, (discs[:, 1] + 1) * scale - 0.5
    radius = np.maximum(discs[:, 2] * scale, smallest)
    reach = int(radius.max() + margin) + 2
    window = np.arange(-reach, reach + 1)
    column, row = (np.floor(centre).astype(np.int64)[:, None] + window for centre in (x, y))
    dx, dy = column - x[:, None], row - y[:, None]
    depth = radius[:, None, None] - np.sqrt((dy * dy)[:, :, None] + (dx * dx)[:, None, :])
    border = reach + 1  # discs at the frame reach over it
    field = np.full((size + 2 * border, size + 2 * border), -1e6)
    place = (row + border)[:, :, None] * len(field) + (column + border)[:, None, :]
    np.maximum.at(field.reshape(-1), place.reshape(-1), depth.reshape(-1))
    return field[border:-border, border:-border]
