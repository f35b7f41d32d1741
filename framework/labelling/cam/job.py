"""Maps of evidence for a whole corpus: a classifier's class activation maps, streamed by Ray Data (methods/README 2.3)."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from framework.core.artifact import ArtifactSpec, Input, finish, input_of, is_finished
from framework.core.callbacks import OnProgress, silent
from framework.core.errors import ConfigError, CorpusError, nearest
from framework.core.storage import Store
from framework.corpus.label_layers import layer_store
from framework.corpus.layer_writer import claim
from framework.corpus.map_layers import MAP_ROW, MapsRow
from framework.corpus.reader import Corpus
from framework.corpus.targets import UNKNOWN, Target
from framework.labelling.settings import CamConfig
from framework.labelling.stream import MapJob, run_job
from framework.methods.base import Explainable

STRIDE = 4
"""Of the maps, in pixels of the classifier's input."""


class Shown(NamedTuple):
    """A class of the masks and the answer that means it is there: places among the classes, the targets and a target's classes."""

    class_id: int
    target: int
    number: int


class Explain:
    """The actor: pictures to the maps of the classes that their image-level labels say are there."""

    def __init__(self, model_url: str, corpus_url: str, shown: Sequence[Shown], config: CamConfig) -> None:
        from framework.inference.predictor import Predictor, use_threads

        use_threads(1)
        self.predictor = Predictor(Store(model_url))
        self.side = -(-self.predictor.run.corpus.size // STRIDE)
        self.corpus, self.shown, self.config = Corpus.open(corpus_url), shown, config

    def __call__(self, batch: Any) -> Any:
        pixels = batch.pop("pixels")
        held = [[self._holds(name, shown) for shown in self.shown] for name in batch["id"]]
        there = np.array(held, bool).reshape(-1, len(self.shown))
        maps = np.zeros((*there.shape, self.side, self.side), np.float32)
        for column, shown in enumerate(self.shown):
            mine = np.flatnonzero(there[:, column])
            if mine.size:
                maps[mine, column] = self.explain(pixels[mine], shown)
        return batch | {"there": there, "maps": maps}

    def explain(self, pixels: np.ndarray, shown: Shown) -> np.ndarray:
        """Maps `[B, side, side]` float32 in 0..1 of prepared pictures `[B, C, S, S]`."""
        from framework.labelling.cam.evidence import summed_evidence

        method, config = self.predictor.method, self.config
        image = self.predictor.standardised(pixels)
        found = summed_evidence(method, image, *shown[1:], config.kind, config.scales, config.flip, self.side)  # type: ignore[arg-type]
        return found.cpu().numpy()

    def _holds(self, name: str, shown: Shown) -> bool:
        return (
            self.predictor.method.targets[shown.target].of_one(self.corpus.value(name, "labels"))
            == shown.number
        )


def make_maps(
    model: Store, corpus_url: str, layer: str, config: CamConfig, on_progress: OnProgress = silent
) -> Store:
    """Make the layer of maps, or finish it, or recognise it: of all images of the splits whose labels are known.

    An image has a map for each class that its labels say is there, and none for the others. Raises `ConfigError` for a model that
    is no classifier and for classes that it or the corpus does not know, `CorpusError` when no image has the labels.
    """
    from framework.inference.predictor import Predictor

    corpus = Corpus.open(corpus_url)
    out = layer_store(corpus.store, layer)
    inputs = {"model": input_of(model, "model"), "corpus": Input(corpus.store.url, corpus.info.version)}
    settings = config.model_dump(mode="json", include={"shows", "kind", "scales", "flip", "splits"})
    recipe = ArtifactSpec("map layer", inputs, settings)
    if is_finished(out, recipe):
        return out
    predictor = Predictor(model)
    if not isinstance(predictor.method, Explainable):
        name = predictor.run.method.name
        raise ConfigError(
            f"{model.url}: a model of method '{name}' has nothing to explain; train method 'classifier'"
        )
    shown = resolve(config, corpus, predictor.method.targets)
    predictor.require_fits(corpus.info)
    names, unknown = _known(corpus, config, [predictor.method.targets[s.target] for s in shown])
    claim(out, recipe)
    started = time.perf_counter()
    job = MapJob(
        predictor.run.corpus.size,
        Explain,
        (model.url, corpus.store.url, shown, config),
        MapsRow([s.class_id for s in shown]),
        MAP_ROW,
    )
    bad = run_job(job, corpus, names, out, config, on_progress)
    classes = [
        [target.of_one(corpus.value(name, "labels")) for name in names] for target in predictor.method.targets
    ]
    counts = {corpus.info.classes[s.class_id]: classes[s.target].count(s.number) for s in shown}
    counted = {"rows": len(names) - bad, "quarantined": bad, "without_answer": unknown, "images_with": counts}
    finish(out, recipe, counted, time.perf_counter() - started)
    return out


def resolve(config: CamConfig, corpus: Corpus, targets: Sequence[Target]) -> list[Shown]:
    """What the names in `shows` stand for."""
    found = []
    for class_name, (target_name, value) in config.shows.items():
        where, known = f"shows.{class_name}", {target.name: i for i, target in enumerate(targets)}
        if class_name not in corpus.info.classes[1:]:
            raise ConfigError(
                f"{where}: the masks have no class '{class_name}'{nearest(class_name, corpus.info.classes[1:])}"
            )
        if target_name not in known:
            raise ConfigError(
                f"{where}: the classifier has no target '{target_name}'{nearest(target_name, known)}"
            )
        target = targets[known[target_name]]
        if value not in target.classes:
            raise ConfigError(
                f"{where}: target '{target_name}' has no class '{value}'{nearest(value, target.classes)}"
            )
        found.append(
            Shown(corpus.info.classes.index(class_name), known[target_name], target.classes.index(value))
        )
    return found


def _known(corpus: Corpus, config: CamConfig, targets: Sequence[Target]) -> tuple[list[str], int]:
    """The images whose labels answer all questions, and how many others there are."""
    names = [name for split in config.splits for name in corpus.ids(split)]
    found = [
        name
        for name in names
        if all(target.of_one(corpus.value(name, "labels")) != UNKNOWN for target in targets)
    ]
    if not found:
        raise CorpusError(
            f"corpus '{corpus.info.name}': no image of {', '.join(config.splits)} has the labels that the maps are made by"
        )
    return found, len(names) - len(found)
