"""What a hurried annotator is taken to draw, apart from its code: the command line reads it."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from framework.labelling.job import JobConfig


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
    """Boxes, polygons, strokes, or outlines that are too small or too large."""
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


class Outline(WeakConfig):
    """Each class too small or too large."""

    kind: Literal["erode", "dilate"]
    radius: Radius = (2, 6)
    """Erode and dilate: least and largest radius, in pixels of the picture's own resolution."""


Simulator = Annotated[Box | Polygon | Scribble | Outline, Field(discriminator="kind")]
