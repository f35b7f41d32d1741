"""Pseudo-label a corpus with Ray Data: decode, infer, encode as separate operators, so that each has its own processors.

Every block ends as one Parquet part, written whole under a name made of its ids. A restart reads which ids are there and leaves
them out; a row that cannot be read becomes a part of the quarantine with its reason.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from framework.corpus.decode import decode_image, encode_mask
from framework.corpus.layer_parts import QUARANTINE_ROW, claim, close_quarantine, finished_ids, over_budget, write_part
from framework.corpus.layers import LAYER_ROW, layer_store
from framework.corpus.reader import Corpus
from framework.corpus.schema import IGNORE
from framework.errors import ConfigError, CorpusError, RowError
from framework.evaluation.quality import measure_layer
from framework.inference.settings import PseudoLabelConfig
from framework.pipeline.artefact import Input, Recipe, finish, input_of, is_finished
from framework.storage import Store

TASK_CPUS = 0.25
"""Of a decode or encode task: they share the processors with the networks, and a small cluster must not lock up."""


@dataclass(frozen=True)
class Decode:
    """Operator 1: bytes to pictures at the network's size. Rows that are not wanted fall out here."""

    wanted: Any
    """Object reference to a frozenset of ids."""
    channels: Any
    size: int

    def __call__(self, batch: Any) -> Any:
        import ray

        from framework.corpus.training_set import resize_image

        wanted = ray.get(self.wanted)
        rows: list[dict[str, Any]] = []
        for name, data in zip(batch["id"], batch["image"], strict=True):
            if name not in wanted:
                continue
            try:
                image = decode_image(bytes(data), self.channels)
                pixels, reason, shape = resize_image(image, self.size).astype(np.float32), "", image.shape[:2]
            except RowError as error:
                pixels, reason, shape = np.zeros((self.channels, self.size, self.size), np.float32), str(error), (1, 1)
            rows.append({"id": name, "pixels": pixels, "reason": reason, "shape": shape})
        return {
            "id": np.array([row["id"] for row in rows], object),
            "pixels": np.array([row["pixels"] for row in rows], np.float32).reshape(-1, self.channels, self.size, self.size),
            "reason": np.array([row["reason"] for row in rows], object),
            "shape": np.array([row["shape"] for row in rows], np.int32).reshape(-1, 2),
        }


class Infer:
    """Operator 2, an actor: pictures to probabilities."""

    def __init__(self, model_url: str) -> None:
        from framework.inference.predictor import Predictor, use_threads

        use_threads(1)
        self.predictor = Predictor(Store(model_url))

    def __call__(self, batch: Any) -> Any:
        found = self.predictor.probabilities(batch["pixels"])
        probability = next(iter(found.values())).numpy()
        return {"id": batch["id"], "probability": probability, "reason": batch["reason"], "shape": batch["shape"]}


@dataclass(frozen=True)
class Encode:
    """Operator 3: probabilities to masks at each picture's own size, written as one part; gives counts."""

    out: Store
    confidence: float

    def __call__(self, batch: Any) -> Any:
        good, bad = [], []
        for i, name in enumerate(batch["id"]):
            if batch["reason"][i]:
                bad.append({"id": name, "reason": batch["reason"][i]})
            else:
                good.append({"id": name, **pseudo_mask(batch["probability"][i], batch["shape"][i], self.confidence)})
        write_part(self.out, "rows", good, LAYER_ROW)
        write_part(self.out, "quarantined", bad, QUARANTINE_ROW)
        return {"good": np.array([len(good)]), "bad": np.array([len(bad)])}


def pseudo_mask(probability: np.ndarray, shape: Iterable[int], confidence: float) -> dict[str, Any]:
    """The layer row of probabilities `[K, S, S]` for a picture of `shape`; pixels under `confidence` are 255."""
    import torch

    from framework.inference.predictor import at_own_size

    resized = at_own_size(torch.from_numpy(np.array(probability)), tuple(int(n) for n in shape))
    best, label = resized.max(0)
    keep = best >= confidence
    classes = len(probability)
    return {
        "mask": encode_mask(label.masked_fill(~keep, IGNORE).numpy().astype(np.uint8)),
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
    advance: Callable[[int, int], None] = lambda done, total: None,
) -> Store:
    """Make the layer, or finish it, or recognise it; labels the training images that the model had no mask for.

    `advance` hears how many rows of how many are done. Raises `ConfigError` for a model of volumes, `CorpusError` when nothing is
    unlabelled or when more rows are unreadable than the error budget allows (what is done stays, the same command continues).
    """
    corpus = Corpus.open(corpus_url)
    out = layer_store(corpus.store, layer)
    _require_model_of_images(model)
    inputs = {"model": input_of(model, "model"), "corpus": Input(corpus.store.url, corpus.info.version)}
    recipe = Recipe("layer", inputs, {"confidence": config.confidence, "kind": "pseudo"})
    if is_finished(out, recipe):
        return out
    claim(out, recipe)
    started = time.perf_counter()
    labelled = set(model.read_json("labelled.json"))
    wanted = [name for name in corpus.ids("train") if name not in labelled]
    if not wanted:
        raise CorpusError(f"corpus '{corpus.info.name}': every training image had its mask in training; nothing to pseudo-label")
    done = finished_ids(out)
    advance(len(done), len(wanted))
    if len(done) < len(wanted):
        _run(model, corpus, frozenset(wanted) - done, out, config, lambda new: advance(len(done) + new, len(wanted)))
    _finish(out, recipe, corpus, len(wanted), config.error_budget, time.perf_counter() - started)
    return out


def _require_model_of_images(model: Store) -> None:
    from framework.inference.predictor import run_of

    run = run_of(model)
    if run.method.name == "classifier":
        raise ConfigError(f"{model.url}: a classifier, which makes no masks; use the model of a segmentation method")
    if run.corpus.patch:
        raise ConfigError(
            f"{model.url}: a model of volumes; pseudo-labelling works image by image: use a model trained without corpus.patch"
        )


def _run(
    model: Store, corpus: Corpus, wanted: frozenset[str], out: Store, config: PseudoLabelConfig, advance: Callable[[int], None]
) -> None:
    import ray
    from ray.data import ActorPoolStrategy, DataContext

    from framework.inference.predictor import Predictor
    from framework.training.ray_driver import start_ray

    predictor = Predictor(model)
    predictor.require_fits(corpus.info)
    start_ray()
    DataContext.get_current().enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    _require_processors(config)
    paths = [corpus.store.path(name) for name in corpus.info.shards]
    decode = Decode(ray.put(wanted), corpus.info.channels, predictor.run.corpus.size)
    stream = (
        ray.data.read_parquet(paths, columns=["id", "image"], filesystem=corpus.store.filesystem, num_cpus=TASK_CPUS)
        .map_batches(decode, batch_size=config.batch, num_cpus=TASK_CPUS)
        .map_batches(
            Infer,
            fn_constructor_args=(model.url,),
            batch_size=config.batch,
            compute=ActorPoolStrategy(size=config.actors),
            num_cpus=1 - TASK_CPUS,
            num_gpus=1 if config.gpu else 0,
        )
        .map_batches(Encode(out, config.confidence), batch_size=config.batch, num_cpus=TASK_CPUS)
    )
    good = bad = 0
    batch: Any
    for batch in stream.iter_batches(batch_size=None):
        good, bad = good + int(batch["good"].sum()), bad + int(batch["bad"].sum())
        advance(good + bad)
        if bad > config.error_budget * len(wanted) + 1:
            raise over_budget(out, len(wanted), config.error_budget)


def _require_processors(config: PseudoLabelConfig) -> None:
    from framework.config import ComputeConfig
    from framework.training.ray_driver import require_resources

    require_resources(ComputeConfig(workers=config.actors, gpu=config.gpu))


def _finish(out: Store, recipe: Recipe, corpus: Corpus, wanted: int, budget: float, seconds: float) -> None:
    """Gather the quarantine, check the budget, and record what the layer holds."""
    bad = close_quarantine(out, wanted, budget)
    classes = len(corpus.info.classes)
    predicted, kept, rows = np.zeros(classes, np.int64), np.zeros(classes, np.int64), 0
    for name in out.names():
        if name.startswith("rows-"):
            table = out.read_table(name)
            predicted += np.array(table["predicted_pixels"].to_pylist()).sum(0)
            kept += np.array(table["kept_pixels"].to_pylist()).sum(0)
            rows += table.num_rows
    by_class = {name: {"predicted": int(predicted[k]), "kept": int(kept[k])} for k, name in enumerate(corpus.info.classes)}
    finish(out, recipe, {"rows": rows, "quarantined": bad, "classes": by_class}, seconds)
    measure_layer(corpus, out)
