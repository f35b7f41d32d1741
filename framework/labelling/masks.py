"""Pseudo masks cut out of maps: the cheap last step, which another threshold repeats without training anything (methods/README 2.5)."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from framework.core.artifact import ArtifactSpec, Input, finish, is_finished
from framework.core.callbacks import OnProgress, silent
from framework.core.errors import ConfigError, CorpusError
from framework.core.labels import IGNORE
from framework.core.storage import Store
from framework.corpus.label_layers import layer_store
from framework.corpus.layer_writer import claim, pixels_by_class, rows_by_kind, write_masks
from framework.corpus.map_layers import MapLayer
from framework.corpus.reader import Corpus
from framework.corpus.schema import NO_MASK
from framework.inference.predictor import at_own_size
from framework.labelling.quality import measure_layer
from framework.labelling.settings import ThresholdConfig


def cut(maps: Mapping[int, np.ndarray], shape: Sequence[int], config: ThresholdConfig) -> np.ndarray:
    """Class ids `[H, W]` uint8 of maps `[h, w]` in 0..1 by class id: all background without a map.

    Maps that nowhere exceed the threshold, or in more pieces than the settings allow, claim nothing (255): their class is there,
    and all background would teach that it is not.
    """
    if not maps:
        return np.zeros(tuple(shape), np.uint8)
    whole = at_own_size(torch.from_numpy(np.stack(list(maps.values()))), tuple(shape))
    sure = strongest(whole, config.threshold)
    if not sure.any() or (
        config.max_components is not None and most_components(sure) > config.max_components
    ):
        return np.full(tuple(shape), IGNORE, np.uint8)
    possible = sure if config.background is None else strongest(whole, config.background)
    return as_ids(known_only(sure, possible), list(maps))


def most_components(labels: Tensor) -> int:
    """In how many connected parts (by edges) the most scattered class of labels `[h, w]` lies; 0 is none."""
    found: list[Any] = [ndimage.label(labels == k) for k in labels.unique() if k]
    return max(count for _, count in found)


def known_only(sure: Tensor, possible: Tensor) -> Tensor:
    """Labels `[h, w]` that say nothing (255) where a class is possible and none is sure."""
    return torch.where((sure == 0) & (possible != 0), IGNORE, sure)


def as_ids(labels: Tensor, class_ids: Sequence[int]) -> np.ndarray:
    """Class ids uint8 of labels that count in a list of classes from 1; 0 and 255 stay."""
    ids = torch.tensor([0, *class_ids, *[IGNORE] * (IGNORE - len(class_ids))])
    return ids[labels].numpy().astype(np.uint8)


def strongest(maps: Tensor, threshold: float) -> Tensor:
    """Labels `[h, w]` of maps `[K, h, w]`: k + 1 where class k is the strongest and exceeds the threshold, else 0."""
    return torch.cat([torch.full_like(maps[:1], threshold), maps]).argmax(0)


def make_masks(
    corpus_url: str, maps: str, layer: str, config: ThresholdConfig, on_progress: OnProgress = silent
) -> Store:
    """Make the label layer, or finish it, or recognise it: of the images of the splits that the maps know.

    An image whose labels say that no class is there is background everywhere, which is exact; one whose maps stay below the
    threshold, or are in too many pieces, is counted, and has no label. Raises `CorpusError` when the maps know no image of the
    splits, `ConfigError` for thresholds in the wrong order.
    """
    if config.background is not None and config.background > config.threshold:
        raise ConfigError(
            f"background {config.background} is over threshold {config.threshold}; masks need it below"
        )
    corpus = Corpus.open(corpus_url)
    found, out = MapLayer.open(corpus, maps), layer_store(corpus.store, layer)
    inputs = {
        "corpus": Input(corpus.store.url, corpus.info.version),
        "maps": Input(found.store.url, found.artifact["hash"]),
    }
    settings = config.model_dump(mode="json", exclude={"error_budget"}, exclude_none=True)
    recipe = ArtifactSpec("layer", inputs, settings | {"kind": "pseudo"})
    if is_finished(out, recipe):
        measure_layer(corpus, out)  # an earlier run may have died between the two
        return out
    held = found.classes
    names = [name for split in config.splits for name in corpus.ids(split) if name in held]
    if not names:
        raise CorpusError(
            f"map layer '{found.store.name}' knows no image of {', '.join(config.splits)}; make it with those splits"
        )
    claim(out, recipe)
    started = time.perf_counter()

    def mask(name: str) -> np.ndarray:
        return cut(found.maps(name), (corpus.value(name, "height"), corpus.value(name, "width")), config)

    bad = write_masks(out, "pseudo", names, mask, config.error_budget, on_progress)
    pixels = pixels_by_class(out, "kept_pixels", len(corpus.info.classes)).tolist()
    by_class = {
        name: {"predicted": n, "kept": n} for name, n in zip(corpus.info.classes, pixels, strict=True)
    }
    kinds, negatives = rows_by_kind(out), sum(not held[name] for name in names)
    counts = {
        "rows": kinds["pseudo"],
        "without_class": negatives,
        "without_mask": kinds[NO_MASK],
        "quarantined": bad,
    }
    finish(out, recipe, counts | {"classes": by_class}, time.perf_counter() - started)
    measure_layer(corpus, out)
    return out
