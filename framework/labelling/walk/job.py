"""The random walk for a whole corpus: maps of evidence carried up to the boundaries that IRNet finds, streamed by Ray Data."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch

from framework.core.artifact import ArtifactSpec, Input, finish, input_of, is_finished
from framework.core.callbacks import OnProgress, silent
from framework.core.errors import ConfigError
from framework.core.storage import Store
from framework.corpus.label_layers import layer_store
from framework.corpus.layer_writer import claim
from framework.corpus.map_layers import MAP_ROW, MapLayer, MapsRow
from framework.corpus.reader import Corpus
from framework.inference.predictor import Predictor, at_own_size, use_threads
from framework.labelling.settings import WalkJobConfig
from framework.labelling.stream import MapJob, run_job
from framework.labelling.walk.walk import walk
from framework.methods.base import FindsBoundaries
from framework.methods.irnet.heads import cells


class Carry:
    """The actor: pictures and their maps to maps after the walk, on the grid of the boundaries."""

    def __init__(
        self, model_url: str, corpus_url: str, maps_url: str, class_ids: list[int], config: WalkJobConfig
    ) -> None:
        use_threads(1)
        self.predictor = Predictor(Store(model_url))
        self.maps = MapLayer(Store(maps_url), Corpus.open(corpus_url))
        self.class_ids, self.config = class_ids, config

    def __call__(self, batch: Any) -> Any:
        pixels, held = batch.pop("pixels"), [self.maps.maps(name) for name in batch["id"]]
        there = np.array([[k in maps for k in self.class_ids] for maps in held], bool).reshape(
            -1, len(self.class_ids)
        )
        method = self.predictor.method
        assert isinstance(method, FindsBoundaries)
        with torch.no_grad():
            boundary = method.boundaries(self.predictor.standardised(pixels))
        before = torch.zeros(len(held), len(self.class_ids), *boundary.shape[1:], device=boundary.device)
        for row, column in zip(*np.nonzero(there), strict=True):
            found = torch.from_numpy(held[row][self.class_ids[column]]).to(boundary.device)
            before[row, column] = at_own_size(found[None], boundary.shape[1:])[0]
        after = walk(before, boundary, self.config.walk)
        after /= after.amax((1, 2, 3), keepdim=True).clamp_min(
            1e-12
        )  # of all classes: which is stronger stays as it is
        return batch | {"there": there, "maps": after.cpu().numpy()}


def _require_room(size: int, radius: int) -> None:
    """Raise `ConfigError` where a step of the walk would reach across a whole picture."""
    side = cells(size)
    if radius >= side:
        fault = f"neighbours within {radius} reach across the whole map, {side} a side for a model of {size} pixels"
        raise ConfigError(
            f"walk.radius: {fault}; give a smaller radius, or boundaries that were trained on larger pictures"
        )


def make_walk(
    model: Store,
    corpus_url: str,
    maps: str,
    layer: str,
    config: WalkJobConfig,
    on_progress: OnProgress = silent,
) -> Store:
    """Make the layer of maps, or finish it, or recognise it: of all images of the layer `maps`.

    Raises `ConfigError` for a model that finds no boundaries.
    """
    corpus = Corpus.open(corpus_url)
    found, out = MapLayer.open(corpus, maps), layer_store(corpus.store, layer)
    inputs = {
        "model": input_of(model, "model"),
        "corpus": Input(corpus.store.url, corpus.info.version),
        "maps": Input(found.store.url, found.artifact["hash"]),
    }
    recipe = ArtifactSpec("map layer", inputs, config.model_dump(mode="json", include={"walk"}))
    if is_finished(out, recipe):
        return out
    predictor = Predictor(model)
    if not isinstance(predictor.method, FindsBoundaries):
        raise ConfigError(
            f"{model.url}: a model of method '{predictor.run.method.name}' finds no boundaries; train method 'irnet'"
        )
    predictor.require_fits(corpus.info)
    _require_room(predictor.run.corpus.size, config.walk.radius)
    claim(out, recipe)
    started = time.perf_counter()
    held = found.classes
    class_ids = sorted({class_id for ids in held.values() for class_id in ids})
    arguments = (model.url, corpus.store.url, found.store.url, class_ids, config)
    job = MapJob(predictor.run.corpus.size, Carry, arguments, MapsRow(class_ids), MAP_ROW)
    bad = run_job(job, corpus, list(held), out, config, on_progress)
    finish(
        out,
        recipe,
        {**found.artifact["counts"], "rows": len(held) - bad, "quarantined": bad},
        time.perf_counter() - started,
    )
    return out
