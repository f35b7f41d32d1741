"""Random numbers that are the same on every machine for good: raw Philox words, spent by exact arithmetic."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Words:
    """Uniform random numbers of one (seed, number, purpose), from raw Philox words."""

    def __init__(self, seed: int, number: int, purpose: int) -> None:
        self._source = np.random.Philox(counter=[0, 0, 0, purpose], key=[seed, number])

    def uniform(self, low: float | Array, high: float | Array, *shape: int) -> Array:
        """Numbers of the given shape in [low, high)."""
        unit = np.asarray(self._source.random_raw(shape) >> np.uint64(11), np.float64) * 2.0**-53
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
        return turn(np.stack([self.signs(count), np.zeros(count)], axis=1), self.uniform(-1, 1, count))

    def noise(self, *shape: int) -> Array:
        """Noise in -1..1 with a triangular distribution."""
        return self.uniform(-0.5, 0.5, *shape) + self.uniform(-0.5, 0.5, *shape)


def turn(heading: Array, half: Array) -> Array:
    """Turn headings [n, 2] by the angles whose half has the tangent `half` [n]: exact arithmetic, no sine."""
    square = half * half
    cosine, sine = (1 - square) / (1 + square), 2 * half / (1 + square)
    x, y = heading[:, 0], heading[:, 1]
    return np.stack([cosine * x - sine * y, sine * x + cosine * y], axis=1)
