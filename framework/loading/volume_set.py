"""The training set of a 3D run: its samples are volumes, stacked from their prepared slices."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from framework.corpus.schema import MASK_KINDS, NO_MASK
from framework.loading.augmentation import levels, pad_masks
from framework.loading.training_set import CorpusConfig, TrainingSample, TrainingSet


class VolumeSet(TrainingSet):
    """Volumes by volume id; `train` and `kinds` still speak of their slices, and layers apply to slices.

    The kind of a volume is the best (in the order of `schema.MASK_KINDS`) among its slices; those of other
    kinds are ignored. Raises `CorpusError` when an image is of no volume.
    """

    def __init__(self, config: CorpusConfig) -> None:
        super().__init__(config)
        training = self.corpus.volumes("train")
        self.volumes = training | self.corpus.volumes("val")
        self.volume_kinds = {volume: self._kind(slices) for volume, slices in training.items()}

    def ids(self, accepts: frozenset[str]) -> list[str]:
        """Training volumes whose label is of an accepted kind, in stored order."""
        return [volume for volume, kind in self.volume_kinds.items() if kind in accepts]

    def labels(self, names: Sequence[str]) -> Tensor:
        """Image-level labels `[B, L]` of volumes: the largest value among the slices, the graver grade."""
        return torch.stack([super(VolumeSet, self).labels(self.volumes[name]).amax(0) for name in names])

    def _kind(self, slices: list[str]) -> str:
        kinds = {self.kinds[name] for name in slices}
        return next((kind for kind in MASK_KINDS if kind in kinds), NO_MASK)

    def _prepare(self, name: str) -> TrainingSample:
        prepare, kind = super()._prepare, self.volume_kinds.get(name)
        slices = {part: prepare(part) for part in self.volumes[name]}
        masks = [s.mask if self.kinds.get(part) == kind else None for part, s in slices.items()]
        image = np.stack([s.image for s in slices.values()], axis=1)
        level = levels(torch.from_numpy(image)[None].float())[0]
        labelled = any(mask is not None for mask in masks)
        return TrainingSample(image, pad_masks(masks, image.shape[2:]).numpy() if labelled else None, level)
