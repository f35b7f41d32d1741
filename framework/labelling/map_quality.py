"""How well maps outline what the corpus's masks show, threshold by threshold, without training anything.

This reads masks. A threshold that is chosen by it was chosen with masks, and must be on the validation split.
"""

from collections.abc import Sequence

import numpy as np
import torch

from framework.core.errors import CorpusError
from framework.core.labels import IGNORE
from framework.corpus.map_layers import MapLayer
from framework.corpus.reader import Corpus
from framework.inference.predictor import at_own_size
from framework.metrics.bootstrap import Interval, mean_intervals

THRESHOLDS = tuple(round(0.05 * i, 2) for i in range(1, 20))
"""From 0.05 to 0.95."""


def measure_maps(
    corpus: Corpus, layer: MapLayer, split: str, thresholds: Sequence[float] = THRESHOLDS
) -> dict[str, list[Interval]]:
    """By class of the maps, the mean IoU at each threshold over the images of the split whose mask shows it.

    An image without a map of the class counts as 0. Raises `CorpusError` when no image of the split has both.
    """
    known = layer.classes
    mapped = {k for class_ids in known.values() for k in class_ids}
    names = [
        name for name in corpus.ids(split) if name in known and corpus.value(name, "mask_kind") == "mask"
    ]
    scores: dict[int, list[list[float]]] = {}
    groups: dict[int, list[str]] = {}
    for sample in corpus.rows(names):
        assert sample.mask is not None
        maps = layer.maps(sample.id)
        for k in mapped.intersection(np.unique(sample.mask[sample.mask != IGNORE]).tolist()):
            scores.setdefault(k, []).append(overlaps(maps.get(k), sample.mask, k, thresholds))
            groups.setdefault(k, []).append(sample.group)
    if not scores:
        fault = f"no image of split '{split}' has both a map and a mask of a class"
        raise CorpusError(f"map layer '{layer.store.name}': {fault}")
    return {corpus.info.classes[k]: mean_intervals(scores[k], groups[k]) for k in sorted(scores)}


def overlaps(
    evidence: np.ndarray | None, mask: np.ndarray, class_id: int, thresholds: Sequence[float]
) -> list[float]:
    """The IoU of class and map at each threshold, without the pixels that have no label."""
    if evidence is None:
        return [0.0] * len(thresholds)
    whole = at_own_size(torch.from_numpy(evidence)[None], mask.shape)[0].numpy()
    counted = mask != IGNORE
    truth, values = (mask == class_id)[counted], whole[counted]
    return [
        float((truth & (values > cut)).sum() / max(1, (truth | (values > cut)).sum())) for cut in thresholds
    ]
