"""Confident seeds from maps of evidence, streamed by Ray Data: what IRNet learns from (methods/README 2.4)."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch
from torch import Tensor

from framework.core.artifact import ArtifactSpec, Input, finish, is_finished
from framework.core.callbacks import OnProgress, silent
from framework.core.errors import ConfigError, CorpusError
from framework.core.labels import IGNORE
from framework.core.storage import Store
from framework.corpus.label_layers import LAYER_ROW, layer_store
from framework.corpus.layer_writer import claim, rows_by_kind
from framework.corpus.map_layers import MapLayer
from framework.corpus.reader import Corpus
from framework.corpus.schema import NO_MASK
from framework.imaging.decode import encode_png
from framework.imaging.resize import resize_mask
from framework.inference.predictor import at_own_size, use_threads
from framework.labelling.masks import as_ids, known_only, strongest
from framework.labelling.seeds.crf import CrfConfig, refine
from framework.labelling.settings import SeedConfig
from framework.labelling.stream import MapJob, run_job
from framework.training.memory import keep_freed_memory


def seeds(
    maps: Tensor, picture: Tensor, foreground: float, background: float, crf: CrfConfig | None
) -> Tensor:
    """Seeds `[h, w]` of maps `[K, h, w]` in 0..1: k + 1 where class k is sure, 0 where none can be, 255 elsewhere.

    `picture` is `[C, h, w]` of levels 0..255. The thresholds' labels are each made to fit it first, unless there is no `crf`.
    """
    labels = torch.stack([strongest(maps, threshold) for threshold in (foreground, background)])
    if crf is not None:
        labels = refine(labels, len(maps) + 1, picture, crf)
    sure, possible = labels
    return known_only(sure, possible)


class Seed:
    """The actor: pictures and their maps to seeds."""

    def __init__(self, corpus_url: str, maps_url: str, config: SeedConfig) -> None:
        use_threads(1)
        keep_freed_memory()
        self.maps, self.config = MapLayer(Store(maps_url), Corpus.open(corpus_url)), config
        self.device = torch.device("cuda" if config.gpu else "cpu")

    def __call__(self, batch: Any) -> Any:
        pictures = torch.from_numpy(batch.pop("pixels"))
        found = [self._of_one(name, picture) for name, picture in zip(batch["id"], pictures, strict=True)]
        return batch | {"seeds": np.array(found)}

    def _of_one(self, name: str, picture: Tensor) -> np.ndarray:
        """`[S, S]` uint8 class ids."""
        maps, config = self.maps.maps(name), self.config
        whole = at_own_size(
            torch.from_numpy(np.stack(list(maps.values()))).to(self.device), picture.shape[1:]
        )
        found = seeds(
            whole, eight_bit(picture.to(self.device)), config.foreground, config.background, config.crf
        ).cpu()
        return as_ids(found, list(maps))


def eight_bit(picture: Tensor) -> Tensor:
    """Levels 0..255; a deeper picture is stretched over them, one without contrast is 0."""
    return (
        picture
        if picture.max() <= 255
        else (picture - picture.min()) * (255 / (picture.max() - picture.min()).clamp_min(1))
    )


def seed_row(batch: Any, i: int) -> dict[str, Any]:
    """The layer's row at the picture's own size; an image that no class is sure in counts as one without a label."""
    mask, (height, width) = batch["seeds"][i], batch["shape"][i]
    claimed = mask[mask != IGNORE]
    return {
        "mask": encode_png(resize_mask(mask, int(height), int(width))),
        "kind": "seed" if claimed.any() else NO_MASK,
        "kept": claimed.size / mask.size,
        "kept_pixels": np.bincount(claimed).tolist(),
    }


def make_seeds(
    corpus_url: str, maps: str, layer: str, config: SeedConfig, on_progress: OnProgress = silent
) -> Store:
    """Make the layer, or finish it, or recognise it: of all training images that have a map.

    Raises `ConfigError` for thresholds in the wrong order, `CorpusError` when no image has a map or no seed is found.
    """
    if config.background > config.foreground:
        raise ConfigError(
            f"background {config.background} is over foreground {config.foreground}; seeds need it below"
        )
    corpus = Corpus.open(corpus_url)
    found, out = MapLayer.open(corpus, maps), layer_store(corpus.store, layer)
    inputs = {
        "corpus": Input(corpus.store.url, corpus.info.version),
        "maps": Input(found.store.url, found.artifact["hash"]),
    }
    recipe = ArtifactSpec(
        "layer", inputs, config.model_dump(mode="json", include={"size", "foreground", "background", "crf"})
    )
    if is_finished(out, recipe):
        return out
    held = found.classes
    names = [name for name in corpus.ids("train") if held.get(name)]
    if not names:
        raise CorpusError(
            f"map layer '{found.store.name}': no training image has a map; make it with --split train"
        )
    claim(out, recipe)
    started = time.perf_counter()
    job = MapJob(config.size, Seed, (corpus.store.url, found.store.url, config), seed_row, LAYER_ROW)
    bad = run_job(job, corpus, names, out, config, on_progress)
    kinds = rows_by_kind(out)
    if not kinds["seed"]:
        raise CorpusError(
            f"{out.url}: no image has a seed of any class; lower the foreground threshold, {config.foreground}"
        )
    counts = {"rows": kinds["seed"], "without_seed": kinds[NO_MASK], "quarantined": bad}
    finish(out, recipe, counts, time.perf_counter() - started)
    return out
