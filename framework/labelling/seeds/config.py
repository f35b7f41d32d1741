"""Settings of the dense conditional random field, apart from its code: the command line reads them."""

from pydantic import Field

from framework.core.settings import Settings

SIDE = 512
"""Pixels a side of the picture that widths are stated for: the authors' pictures are of about 500."""


class CrfConfig(Settings):
    """IRNet's settings (methods/README 2.4). Widths are in 512ths of the picture's side, whatever its size.

    Levels are of 0..255.
    """

    steps: int = Field(default=10, ge=1)
    certainty: float = Field(default=0.7, gt=0, lt=1)
    """Probability of a pixel's given label; the others share the rest."""
    near_width: float = Field(default=3.0, gt=0)
    near_weight: float = Field(default=3.0, ge=0)
    """Weight of the tie between near pixels, whatever they look like."""
    alike_width: float = Field(default=50.0, gt=0)
    alike_levels: float = Field(default=5.0, gt=0)
    alike_weight: float = Field(default=10.0, ge=0)
    """Weight of the tie between pixels that look alike."""
