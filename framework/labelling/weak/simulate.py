"""Simulate weak labels from true masks: what a hurried annotator might have drawn (methods/README 5.1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, Field

from framework.core.callbacks import OnProgress
from framework.core.errors import CorpusError
from framework.core.labels import IGNORE
from framework.core.storage import Store
from framework.labelling.job import Job, JobConfig

if TYPE_CHECKING:
    import numpy as np


def _ordered(limits: tuple[int, int]) -> tuple[int, int]:
    if limits[0] > limits[1]:
        raise ValueError("the smaller number comes first")
    return limits


Points = Annotated[tuple[Annotated[int, Field(ge=3)], int], AfterValidator(_ordered)]
Radius = Annotated[tuple[Annotated[int, Field(ge=0)], int], AfterValidator(_ordered)]
"""Two whole numbers between which each draw lies, both included."""


class WeakConfig(JobConfig):
    """What every kind of weak label has."""

    seed: int = Field(default=0, ge=0)
    """Another seed draws other labels."""
    split: str = "train"
    """Split whose masks are weakened: train, val or test."""
    mismatch_rate: float = Field(default=0.0, ge=0, le=1)
    """Share of images that get another one's label, as happens when files are confused."""


class Box(WeakConfig):
    """A filled bounding box of each connected component."""

    kind: Literal["box"] = "box"
    """Who draws how: boxes, polygons, strokes, or outlines that are too small or too large."""
    jitter: float = Field(default=0.1, ge=0, le=0.5)
    """Boxes: each edge moves by up to this share of the box's side."""


class Polygon(WeakConfig):
    """A filled polygon through a few contour points of each connected component."""

    kind: Literal["polygon"] = "polygon"
    points: Points = (6, 10)
    """Polygons: fewest and most corners."""


class Scribble(WeakConfig):
    """Strokes along each class, near its middle, background included; nothing is claimed elsewhere."""

    kind: Literal["scribble"] = "scribble"
    width: int = Field(default=3, ge=1)
    """Scribbles: width of a stroke in pixels of the picture's own resolution."""


class Erode(WeakConfig):
    """Each class too small by a radius."""

    kind: Literal["erode"] = "erode"
    radius: Radius = (2, 6)
    """Erode and dilate: least and largest radius, in pixels of the picture's own resolution."""


class Dilate(WeakConfig):
    """Each class too large by a radius."""

    kind: Literal["dilate"] = "dilate"
    radius: Radius = (2, 6)
    """Erode and dilate: least and largest radius, in pixels of the picture's own resolution."""


Simulator = Annotated[Box | Polygon | Scribble | Erode | Dilate, Field(discriminator="kind")]


class SimulateWeak(Job):
    """Simulate weak labels from the true masks of a split, to try what they would be worth.

    What is drawn for an image depends on (seed, id) alone, but for the share that gets another one's label. Where lesions overlap
    (`bits`), the mask is first flattened to one class id per pixel, as in training.
    """

    Config = Simulator
    name = "simulate-weak"
    artifact = "weak"

    def rows(self) -> list[str]:
        split, value = self.config.split, self.corpus.value
        names = [name for name in self.corpus.ids(split) if value(name, "mask_kind") == "mask"]
        if not names:
            corpus = f"corpus '{self.corpus.info.name}'"
            raise CorpusError(f"{corpus}: no image of split '{split}' has a pixel mask; nothing to weaken")
        return names

    def write(self, names: Sequence[str], out: Store, on_progress: OnProgress) -> int:
        from framework.core.rng import generator
        from framework.corpus.layer_writer import write_masks
        from framework.imaging.resize import resize_mask

        config, value = self.config, self.corpus.value
        others = mismatched(names, config.mismatch_rate, config.seed)

        def drawn(name: str) -> np.ndarray:
            mask = self.corpus.mask(others.get(name, name))
            assert mask is not None
            fitting = resize_mask(mask, value(name, "height"), value(name, "width"))
            return weaken(fitting, config, generator("weaken", config.seed, name))

        kind = "noisy" if config.kind in ("erode", "dilate") else config.kind
        return write_masks(out, kind, names, drawn, config.error_budget, on_progress)


def mismatched(names: Sequence[str], share: float, seed: int) -> dict[str, str]:
    """Whose mask an image gets instead of its own: about `share` of all, put into a random circle, each that of the next."""
    from framework.core.rng import generator

    place = {name: generator("swap", seed, name).random() for name in names}
    circle = sorted((name for name in names if place[name] < share), key=place.__getitem__)
    return dict(zip(circle, circle[1:] + circle[:1], strict=True))


def weaken(mask: np.ndarray, simulator: Simulator, rng: np.random.Generator) -> np.ndarray:
    """The weak label of a true mask, both uint8 `[H, W]` of class ids with 255 where nothing is claimed.

    Later classes are drawn over earlier ones; pixels that carry no label in the truth carry none here.
    """
    import numpy as np

    drawn = np.full_like(mask, IGNORE if isinstance(simulator, Scribble) else 0)
    for class_id in np.unique(mask[mask != IGNORE]):
        if class_id or isinstance(simulator, Scribble):
            drawn[_claimed(mask == class_id, simulator, rng)] = class_id
    drawn[mask == IGNORE] = IGNORE
    return drawn


def _claimed(inside: np.ndarray, simulator: Simulator, rng: np.random.Generator) -> np.ndarray:
    from framework.labelling.weak import simulators as draw

    match simulator:
        case Box():
            return draw.boxes(inside, simulator.jitter, rng)
        case Polygon():
            return draw.polygons(inside, simulator.points, rng)
        case Scribble():
            return draw.strokes(inside, simulator.width, rng)
        case Erode():
            return draw.erode(inside, draw.between(simulator.radius, rng))
        case Dilate():
            return draw.dilate(inside, draw.between(simulator.radius, rng))
