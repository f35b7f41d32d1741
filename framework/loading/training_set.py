"""What a training run reads: a corpus under a label budget, with layers over it, prepared at one size."""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from pydantic import Field, ValidationInfo, field_validator
from torch import Tensor

from framework.core.errors import CorpusError
from framework.core.rng import generator
from framework.core.settings import BY_HASH, PLACEMENT, Settings
from framework.corpus.bits import as_bits, require_bits
from framework.corpus.label_layers import Layer
from framework.corpus.reader import Corpus, Sample
from framework.corpus.schema import NO_MASK
from framework.corpus.targets import Target
from framework.imaging.resize import resize_image, resize_mask
from framework.loading.augmentation import levels
from framework.loading.label_budget import BudgetConfig, labelled_ids


class CorpusConfig(Settings):
    """Which corpus, and what of it a run may see."""

    path: Annotated[str, PLACEMENT]
    """Local folder, s3://… or gs://…"""
    size: int = Field(default=96, ge=16)
    """Images are resized to size x size pixels for the network; predictions are resized back."""
    patch: Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=3, max_length=3)] | None = None
    """Slices, rows and columns of the patches of volumes that a run trains on; None: single images."""
    layers: Annotated[list[str], BY_HASH] = []
    """Label layers, each a name beside the corpus or a path; the first that knows an image gives its mask."""
    budget: BudgetConfig = BudgetConfig()
    shuffle_labels: bool = False
    """Control: permute the training images' image-level labels by the run's seed: they then say nothing."""
    disjoint: bool = False
    """Accept masks of one class a pixel for a multilabel method: its structures then never overlap."""
    cache_mb: Annotated[float, PLACEMENT] = Field(default=1024, gt=0)
    """Memory of each worker for decoded images."""

    @field_validator("patch")
    @classmethod
    def _within_slices(cls, patch: list[int] | None, info: ValidationInfo) -> list[int] | None:
        if patch and max(patch[1:]) > (size := info.data.get("size", max(patch))):
            raise ValueError(f"rows and columns of a patch are at most corpus.size, {size}")
        return patch


@dataclass(frozen=True)
class TrainingSample:
    """One image, or a volume, at training size."""

    image: np.ndarray
    """`[C, S, S]` or `[C, D, S, S]`, uint8; float32 for 16-bit pictures."""
    mask: np.ndarray | None
    """`[S, S]` or `[D, S, S]`, uint8: class ids, or bits for a multilabel method."""
    level: Tensor
    """What `levels` gives for it, computed once: that takes as long as the rest of a view."""

    @property
    def bytes(self) -> int:
        return self.image.nbytes + (self.mask.nbytes if self.mask is not None else 0)


class TrainingSet:
    """Training samples by id, with a bounded cache; safe to use from several threads."""

    def __init__(self, config: CorpusConfig, bits: bool = False, seed: int = 0) -> None:
        """`bits`: masks are to be bits; `seed`: the run's, for `shuffle_labels`. Raises `CorpusError`."""
        self.config, self.bits = config, bits
        self.corpus = Corpus.open(config.path)
        if bits:
            require_bits(self.corpus.info, config.disjoint)
        self.layers = [Layer.open(self.corpus, name) for name in config.layers]
        self.train = self.corpus.ids("train")
        self.kinds = self._kinds()
        self._labels_from = shuffled(self.train, seed) if config.shuffle_labels else {}
        self._cache: OrderedDict[str, TrainingSample] = OrderedDict()
        self._cached_bytes = 0
        self._lock = threading.Lock()

    def ids(self, accepts: frozenset[str]) -> list[str]:
        """Training ids whose label is of an accepted kind, in stored order."""
        return [name for name in self.train if self.kinds[name] in accepts]

    def labels(self, names: Sequence[str]) -> Tensor:
        """Image-level labels `[B, L]` int64 of some images; -1 = unknown."""
        rows = [self.corpus.value(self._labels_from.get(name, name), "labels") for name in names]
        return torch.tensor(rows, dtype=torch.int64).view(len(names), len(self.corpus.info.labels))

    def classes(self, names: Sequence[str], target: Target) -> list[int]:
        """The class of each image under a target."""
        return target.of(self.labels(names)).tolist()

    def untaught(self, accepts: frozenset[str]) -> list[str]:
        """Classes that no mask of an accepted kind holds, under the budget and with the layers; none where
        the pixels of a mask were not counted."""
        counts = [self._class_pixels(name) for name in self.train if self.kinds[name] in accepts - {NO_MASK}]
        if None in counts:
            return []
        held = {place for pixels in counts for place, count in enumerate(pixels or ()) if count}
        return [name for place, name in enumerate(self.corpus.info.classes) if place not in held]

    def get(self, name: str) -> TrainingSample:
        with self._lock:
            if name in self._cache:
                self._cache.move_to_end(name)
                return self._cache[name]
        prepared = self._prepare(name)
        with self._lock:
            if name not in self._cache:
                self._cache[name] = prepared
                self._cached_bytes += prepared.bytes
            while self._cached_bytes > self.config.cache_mb * 2**20:
                self._cached_bytes -= self._cache.popitem(last=False)[1].bytes
        return prepared

    def _class_pixels(self, name: str) -> list[int] | None:
        if self.kinds[name] == "mask":
            return self.corpus.value(name, "mask_pixels")
        return self._layer_of(name).class_pixels[name]

    def _layer_of(self, name: str) -> Layer:
        return next(layer for layer in self.layers if name in layer.kinds)

    def _kinds(self) -> dict[str, str]:
        kinds = dict.fromkeys(self.train, NO_MASK)
        for layer in reversed(self.layers):
            kinds |= {name: kind for name, kind in layer.kinds.items() if name in kinds}
        return kinds | dict.fromkeys(labelled_ids(self.corpus, self.config.budget), "mask")

    def _prepare(self, name: str) -> TrainingSample:
        sample, size = self.corpus.read(name), self.config.size
        mask = self._mask(name, sample)
        image = resize_image(sample.image, size)
        level = levels(torch.from_numpy(image.copy())[None].float())[0]
        return TrainingSample(image, None if mask is None else resize_mask(mask, size, size), level)

    def _mask(self, name: str, sample: Sample) -> np.ndarray | None:
        """The corpus's own mask or a layer's, as the label budget and the order of the layers have it."""
        kind = self.kinds.get(name, "mask")  # validation images have no kind: their masks are for measuring
        if kind == NO_MASK:
            return None
        if kind == "mask" and self.bits and sample.bits is not None:
            return sample.bits
        mask = sample.mask
        if kind != "mask":
            mask = self._layer_of(name).mask(name, sample.image.shape[:2])
        return as_bits(mask) if self.bits else mask


def shuffled(names: list[str], seed: int) -> dict[str, str]:
    """A permutation of the names, drawn by them and the seed alone."""
    drawn = generator("labels", seed, *names[:1], len(names)).permutation(len(names))
    return {name: names[place] for name, place in zip(names, drawn, strict=True)}


def require(ids: Sequence[str], method: str, stream: str, hint: str) -> Sequence[str]:
    """The ids, or a `CorpusError` that says what the method lacks and how to get it."""
    if not ids:
        raise CorpusError(f"method '{method}' needs {stream} training images and there is none; {hint}")
    return ids
