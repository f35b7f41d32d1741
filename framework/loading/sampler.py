"""The order of samples: a function of (seed, step), never of ranks, workers or time."""

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from framework.core.rng import generator


class SampleDraw(NamedTuple):
    """One sample of a batch, and the pass over its stream in which it was drawn."""

    id: str
    epoch: int


@dataclass(frozen=True)
class Sampler:
    """The endless sequence of a stream: one permutation of its ids after the other."""

    ids: tuple[str, ...]
    batch: int
    seed: int
    stream: str

    def batch_at(self, step: int) -> list[SampleDraw]:
        """The global batch of a step. Every id comes once per epoch; a batch may lie across two epochs."""
        places = range(step * self.batch, (step + 1) * self.batch)
        n = len(self.ids)
        draws = (divmod(place, n) for place in places)
        return [SampleDraw(self.ids[_permutation(self.seed, self.stream, e, n)[i]], e) for e, i in draws]


@dataclass(frozen=True)
class BalancedSampler:
    """The endless sequence of a stream whose classes take turns, each with its own permutations."""

    classes: tuple[tuple[str, ...], ...]
    """The ids of each class, none empty."""
    batch: int
    seed: int
    stream: str

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(name for members in self.classes for name in members)

    def batch_at(self, step: int) -> list[SampleDraw]:
        """The global batch of a step: of as many consecutive samples as there are classes, each has one."""
        return [self._draw(place) for place in range(step * self.batch, (step + 1) * self.batch)]

    def _draw(self, place: int) -> SampleDraw:
        turn, number = divmod(place, len(self.classes))
        members = self.classes[number]
        epoch, position = divmod(turn, len(members))
        order = _permutation(self.seed, f"{self.stream} {number}", epoch, len(members))
        return SampleDraw(members[order[position]], epoch)


def shard(draws: list[SampleDraw], rank: int, world: int) -> list[SampleDraw]:
    """The slice of a global batch that a rank takes; the slices of all ranks, interleaved, are the batch."""
    assert len(draws) % world == 0, "`Trainer.build` checks it"
    return draws[rank::world]


@lru_cache(maxsize=64)
def _permutation(seed: int, stream: str, epoch: int, n: int) -> np.ndarray:
    return generator("order", seed, stream, epoch).permutation(n)
