"""The order of samples: a function of (seed, step), never of ranks, workers or time."""

import itertools
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
    """The endless sequence of a stream: its classes take turns, each has one permutation after the other."""

    classes: tuple[tuple[str, ...], ...]
    """The ids of each class, none empty; one class of all ids where no class is to be balanced."""
    batch: int
    seed: int
    stream: str

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(itertools.chain.from_iterable(self.classes))

    def batch_at(self, step: int) -> list[SampleDraw]:
        """The global batch of a step. Every id comes once per epoch; a batch may lie across two epochs."""
        return [self._draw(place) for place in range(step * self.batch, (step + 1) * self.batch)]

    def _draw(self, place: int) -> SampleDraw:
        turn, number = divmod(place, len(self.classes))
        members = self.classes[number]
        epoch, position = divmod(turn, len(members))
        name = self.stream if len(self.classes) == 1 else f"{self.stream} {number}"
        order = _permutation(self.seed, name, epoch, len(members))
        return SampleDraw(members[order[position]], epoch)


def shard(draws: list[SampleDraw], rank: int, world: int) -> list[SampleDraw]:
    """The slice of a global batch that a rank takes; the slices of all ranks, interleaved, are the batch."""
    assert len(draws) % world == 0, "`Trainer.build` checks it"
    return draws[rank::world]


@lru_cache(maxsize=64)
def _permutation(seed: int, stream: str, epoch: int, n: int) -> np.ndarray:
    return generator("order", seed, stream, epoch).permutation(n)
