"""How right labels and maps are, where the corpus holds masks that training was not shown."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from framework.core.artifact import read_part
from framework.core.errors import CorpusError
from framework.core.labels import IGNORE
from framework.core.storage import Store
from framework.corpus.label_layers import Layer
from framework.corpus.map_layers import MapLayer
from framework.corpus.reader import Corpus
from framework.inference.predictor import at_own_size
from framework.metrics.bootstrap import Interval, mean_intervals

FILE = "quality.json"
THRESHOLDS = tuple(round(0.05 * i, 2) for i in range(1, 20))
"""From 0.05 to 0.95."""


def measure_layer(corpus: Corpus, store: Store) -> dict[str, Any] | None:
    """Write and give, by class, the share of its predicted pixels that were kept, and the accuracy of those.

    What is written already is given as it is. None when no image of the layer has a mask in the corpus. This
    is measured on training images: it says how good the pseudo-labels were, and must not choose settings.
    """
    if store.exists(FILE):
        return read_part(store, FILE)
    layer = Layer(store, corpus)
    masked = [name for name in layer.kinds if corpus.value(name, "mask_kind") == "mask"]
    if not masked:
        return None
    classes = len(corpus.info.classes)
    kept, right = np.zeros(classes, np.int64), np.zeros(classes, np.int64)
    for sample in corpus.rows(corpus.in_stored_order(masked)):
        assert sample.mask is not None
        claimed = layer.mask(sample.id, sample.mask.shape)
        counted = (claimed != IGNORE) & (sample.mask != IGNORE)
        kept += np.bincount(claimed[counted], minlength=classes)
        right += np.bincount(claimed[counted & (claimed == sample.mask)], minlength=classes)
    scores = {}
    for k, name in enumerate(corpus.info.classes):
        pixels = layer.artifact["counts"]["classes"][name]
        scores[name] = {
            "kept_share": pixels["kept"] / max(1, pixels["predicted"]),
            "accuracy": float(right[k] / kept[k]) if kept[k] else None,
            "pixels": int(kept[k]),
        }
    quality = {"images": len(masked), "classes": scores}
    store.write_json(FILE, quality)
    return quality


def measure_maps(
    corpus: Corpus, layer: MapLayer, split: str, thresholds: Sequence[float] = THRESHOLDS
) -> dict[str, list[Interval]]:
    """By class of the maps, the mean IoU at each threshold over the images of the split whose mask shows it.

    An image without a map of the class counts as 0. A threshold that is chosen by this is chosen with masks,
    and must be on the validation split. Raises `CorpusError` when no image of the split has both.
    """
    mapped = {k for class_ids in layer.classes.values() for k in class_ids}
    names = [name for name in corpus.ids(split) if name in layer.classes]
    scores: dict[int, list[list[float]]] = defaultdict(list)
    groups: dict[int, list[str]] = defaultdict(list)
    for sample in corpus.rows([name for name in names if corpus.value(name, "mask_kind") == "mask"]):
        assert sample.mask is not None
        maps = layer.maps(sample.id)
        for k in mapped.intersection(np.unique(sample.mask[sample.mask != IGNORE]).tolist()):
            scores[k].append(overlaps(maps.get(k), sample.mask, k, thresholds))
            groups[k].append(sample.group)
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
    truth, cuts = (mask == class_id)[counted], [whole[counted] > threshold for threshold in thresholds]
    return [float((truth & cut).sum() / max(1, (truth | cut).sum())) for cut in cuts]
