"""Pseudo-label a corpus: a segmentation model labels the training images that it had no mask for, streamed by Ray Data."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from framework.core.artifact import ArtifactSpec, Input, finish, input_of, is_finished
from framework.core.callbacks import OnProgress, silent
from framework.core.errors import ConfigError, CorpusError
from framework.core.labels import IGNORE
from framework.core.storage import Store
from framework.corpus.label_layers import LAYER_ROW, layer_store
from framework.corpus.layer_writer import claim, pixels_by_class
from framework.corpus.reader import Corpus
from framework.imaging.decode import encode_png
from framework.labelling.quality import measure_layer
from framework.labelling.settings import PseudoLabelConfig
from framework.labelling.stream import MapJob, run_job
from framework.methods.registry import method_of


class Infer:
    """The actor: pictures to probabilities of the first predictor."""

    def __init__(self, model_url: str) -> None:
        from framework.inference.predictor import Predictor, use_threads

        use_threads(1)
        self.predictor = Predictor(Store(model_url))

    def __call__(self, batch: Any) -> Any:
        found = self.predictor.probabilities(batch.pop("pixels"))
        return batch | {"probability": next(iter(found.values())).numpy()}


@dataclass(frozen=True)
class PseudoRow:
    """Probabilities to a mask at the picture's own size."""

    confidence: float

    def __call__(self, batch: Any, i: int) -> dict[str, Any]:
        return pseudo_mask(batch["probability"][i], batch["shape"][i], self.confidence)


def pseudo_mask(probability: np.ndarray, shape: Iterable[int], confidence: float) -> dict[str, Any]:
    """The layer row of probabilities `[K, S, S]` for a picture of `shape`; pixels under `confidence` are 255."""
    import torch

    from framework.inference.predictor import at_own_size

    resized = at_own_size(torch.from_numpy(np.array(probability)), tuple(int(n) for n in shape))
    best, label = resized.max(0)
    keep = best >= confidence
    classes = len(probability)
    return {
        "mask": encode_png(label.masked_fill(~keep, IGNORE).numpy().astype(np.uint8)),
        "kind": "pseudo",
        "confidence": float(best.mean()),
        "kept": float(keep.float().mean()),
        "predicted_pixels": torch.bincount(label.flatten(), minlength=classes).tolist(),
        "kept_pixels": torch.bincount(label[keep].flatten(), minlength=classes).tolist(),
    }


def pseudo_label(
    model: Store,
    corpus_url: str,
    layer: str,
    config: PseudoLabelConfig,
    on_progress: OnProgress = silent,
) -> Store:
    """Make the layer, or finish it, or recognise it; labels the training images that the model had no mask for.

    `on_progress` hears how many rows of how many are done. Raises `ConfigError` for a model of volumes, `CorpusError` when nothing is
    unlabelled or when more rows are unreadable than the error budget allows (what is done stays, the same command continues).
    """
    from framework.inference.predictor import Predictor

    corpus = Corpus.open(corpus_url)
    out = layer_store(corpus.store, layer)
    _require_model_of_images(model)
    inputs = {"model": input_of(model, "model"), "corpus": Input(corpus.store.url, corpus.info.version)}
    recipe = ArtifactSpec("layer", inputs, {"confidence": config.confidence, "kind": "pseudo"})
    if is_finished(out, recipe):
        measure_layer(corpus, out)  # an earlier run may have died between the two
        return out
    claim(out, recipe)
    started = time.perf_counter()
    labelled = set(model.read_json("labelled.json"))
    wanted = [name for name in corpus.ids("train") if name not in labelled]
    if not wanted:
        raise CorpusError(
            f"corpus '{corpus.info.name}': every training image had its mask in training; nothing to pseudo-label"
        )
    predictor = Predictor(model)
    predictor.require_fits(corpus.info)
    job = MapJob(predictor.run.corpus.size, Infer, (model.url,), PseudoRow(config.confidence), LAYER_ROW)
    bad = run_job(job, corpus, wanted, out, config, on_progress)
    _finish(out, recipe, corpus, len(wanted) - bad, bad, time.perf_counter() - started)
    return out


def _require_model_of_images(model: Store) -> None:
    from framework.inference.predictor import run_of

    run = run_of(model)
    if not method_of(run.method).segments:
        raise ConfigError(
            f"{model.url}: a model of method '{run.method.name}', which makes no masks; use one that segments"
        )
    if run.corpus.patch:
        raise ConfigError(
            f"{model.url}: a model of volumes; pseudo-labelling works image by image: use a model trained without corpus.patch"
        )


def _finish(out: Store, recipe: ArtifactSpec, corpus: Corpus, rows: int, bad: int, seconds: float) -> None:
    """Record what the layer holds."""
    classes = len(corpus.info.classes)
    predicted, kept = (
        pixels_by_class(out, column, classes) for column in ("predicted_pixels", "kept_pixels")
    )
    by_class = {
        name: {"predicted": int(predicted[k]), "kept": int(kept[k])}
        for k, name in enumerate(corpus.info.classes)
    }
    finish(out, recipe, {"rows": rows, "quarantined": bad, "classes": by_class}, seconds)
    measure_layer(corpus, out)
