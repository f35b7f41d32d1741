"""From the order of samples to tensors, prepared ahead of the training step."""

from collections import deque
from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Self

import numpy as np
import torch
from torch import Tensor

from framework.core.memory_format import layout
from framework.corpus.targets import Target
from framework.loading import augmentation as augment
from framework.loading.patches import patch_views
from framework.loading.sampler import SampleDraw, Sampler, shard
from framework.loading.training_set import TrainingSample, TrainingSet, require

AHEAD = 4
"""Batches that wait ready: decoding comes in bursts while the cache is cold."""
NO_LABELS = torch.empty(0, 0, dtype=torch.int64)
"""Image-level labels of images that have none."""


@dataclass(frozen=True)
class Stream:
    """What a method reads: images whose label is of an accepted kind, a batch of them in every step."""

    name: str
    accepts: frozenset[str]
    strong: int = 0
    """How many strong views are made as well."""
    hint: str = ""
    """What the reader of an error should do when the corpus has no such image."""
    target: Target | None = None
    """Only images of a known class, the classes in turn; None: whatever the image-level labels say."""


@dataclass(frozen=True)
class StreamBatch:
    """This rank's slice of one stream of a global batch."""

    ids: list[str]
    image: Tensor
    """Weak view `[B, C, H, W]` or `[B, C, D, H, W]`, float32, each channel of mean 0 and deviation 1."""
    strong: tuple[Tensor, ...]
    mask: Tensor
    """`[B, H, W]` or `[B, D, H, W]` int64 class ids, or bits for a multilabel method; 255: no label."""
    labels: Tensor = NO_LABELS
    """Image-level labels `[B, L]` int64, in the order of the corpus's labels; -1 = unknown."""

    def to(self, device: torch.device, images: torch.dtype) -> Self:
        """The same on a device, images of a dtype and in the memory format of the fastest convolutions."""

        def move(view: Tensor) -> Tensor:
            return view.to(device, images, non_blocking=True, memory_format=layout(view.dim()))

        mask, labels = (known.to(device, non_blocking=True) for known in (self.mask, self.labels))
        return type(self)(self.ids, move(self.image), tuple(map(move, self.strong)), mask, labels)


Batch = Mapping[str, StreamBatch]
"""A step's input: one `StreamBatch` per stream, by name."""


class Loader:
    """Makes the batches of a rank from any step on."""

    def __init__(
        self,
        data: TrainingSet,
        streams: Sequence[Stream],
        method: str,
        batch: int,
        seed: int,
        views: augment.AugmentConfig,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self.data, self.views, self.seed = data, views, seed
        self.rank, self.world = rank, world
        self.streams = {stream.name: stream for stream in streams}
        self.samplers = {stream.name: _sampler(data, stream, method, batch, seed) for stream in streams}

    def batch_at(self, step: int) -> Batch:
        """The batch of one step, made now."""
        return {name: self._make(stream, step) for name, stream in self.streams.items()}

    def plain(self, stream: str) -> Iterator[StreamBatch]:
        """This rank's share of a stream's images, neither augmented nor repeated; volumes come one by one."""
        mine = self.samplers[stream].ids[self.rank :: self.world]
        batch = 1 if self.data.config.patch else 32
        for start in range(0, len(mine), batch):
            names = list(mine[start : start + batch])
            image, mask = collate([self.data.get(name) for name in names])
            yield StreamBatch(names, image, (), mask.long(), self.data.labels(names))

    def run(self, start: int, stop: int) -> Generator[Batch, None, None]:
        """The batches of steps `start..stop-1`, made ahead by a thread; an error in it is raised here."""
        thread, steps = ThreadPoolExecutor(1), iter(range(start, stop))
        waiting = deque(thread.submit(self.batch_at, step) for step in islice(steps, AHEAD))
        try:
            while waiting:
                batch = waiting.popleft().result()
                waiting.extend(thread.submit(self.batch_at, step) for step in islice(steps, 1))
                yield batch
        finally:
            thread.shutdown(cancel_futures=True)

    def _make(self, stream: Stream, step: int) -> StreamBatch:
        draws = shard(self.samplers[stream.name].batch_at(step), self.rank, self.world)
        image, mask = self._weak_views([self.data.get(draw.id) for draw in draws], draws)
        if self.views.gain:
            image = augment.change_gain(image, draws, self.views.gain, self.seed, "gain")
        numbers, names = range(stream.strong), [draw.id for draw in draws]
        strong = tuple(augment.strong_view(image, draws, self.views, self.seed, n) for n in numbers)
        return StreamBatch(names, image, strong, mask, self.data.labels(names))

    def _weak_views(self, samples: list[TrainingSample], draws: list[SampleDraw]) -> tuple[Tensor, Tensor]:
        config, maps = self.data.config, augment.geometry(draws, self.views, self.seed)
        if config.patch:
            return patch_views(samples, draws, maps, config.patch, self.seed)
        return augment.weak_view(*collate(samples), maps)


def _sampler(data: TrainingSet, stream: Stream, method: str, batch: int, seed: int) -> Sampler:
    """The order of a stream's images; raises `CorpusError` when there is none, or none of a class."""
    ids = require(data.ids(stream.accepts), method, stream.name, stream.hint)
    if stream.target is None:
        return Sampler((tuple(ids),), batch, seed, stream.name)
    classes, numbers = stream.target.classes, data.classes(ids, stream.target)
    members: list[tuple[str, ...]] = []
    for place, label in enumerate(classes):
        members.append(tuple(name for name, number in zip(ids, numbers, strict=True) if number == place))
        fewer = f"or take class '{label}' out of {stream.target.where}"
        mend = fewer if len(classes) > 2 else "two classes must be told apart"
        require(members[-1], method, f"'{label}'", f"add some to split 'train' in labels.csv, {mend}")
    return Sampler(tuple(members), batch, seed, stream.name)


def collate(samples: list[TrainingSample]) -> tuple[Tensor, Tensor]:
    """Standardised images or volumes of one size, and their masks, uint8; a missing one is 255 everywhere."""
    raw = torch.from_numpy(np.stack([sample.image for sample in samples])).float()
    image = augment.relative_to(raw, torch.stack([sample.level for sample in samples]))
    return image, augment.pad_masks([sample.mask for sample in samples], raw.shape[2:])
