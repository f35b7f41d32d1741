"""What every rank of a training does, and what rank 0 writes of the finished model."""

import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from framework.core.artifact import ArtifactSpec, finish
from framework.core.distributed import rank
from framework.core.errors import TrainingError
from framework.core.labels import IGNORE
from framework.core.lock import require_lock
from framework.core.storage import Store
from framework.corpus.schema import NO_MASK, ModelInfo
from framework.imaging.overlay import panels
from framework.loading.training_set import TrainingSample
from framework.training.checkpoint import encode_tensors
from framework.training.config import TrainConfig
from framework.training.loop import Listener, fit
from framework.training.memory import keep_freed_memory, peak_memory_mb
from framework.training.metric_log import BEST, judged_by, read
from framework.training.trainer import Trainer, artifact_spec

SHOWN = 6
"""Pictures of the images with the smallest weights."""


def train_worker(
    run: TrainConfig,
    store: Store,
    device: torch.device,
    listener: Listener = lambda record: None,
    is_asked: Callable[[], bool] = lambda: False,
) -> None:
    """What every rank does: build, restore, train, and, on rank 0, write the model.

    Raises `Interrupted` after a checkpoint when `is_asked` says that it is to stop, `TrainingError` where the
    device has no memory left.
    """
    if device.type == "cpu":
        torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", run.compute.cpus_per_worker)))
        keep_freed_memory()
    started = time.perf_counter()
    trainer = Trainer.build(run, store, device)
    trainer.restore()
    try:
        fit(trainer, listener, is_asked)
    except torch.OutOfMemoryError:
        fault, mend = "the device has no memory left", "lower train.batch or corpus.size"
        raise TrainingError(f"run '{run.name}': step {trainer.step}: {fault}; {mend}") from None
    weights = trainer.weights()
    if rank() == 0:
        _write_model(trainer, weights, time.perf_counter() - started)


def _write_model(trainer: Trainer, weights: dict[str, Tensor], seconds: float) -> None:
    store, corpus, labelled = trainer.store, trainer.data.corpus, labelled_ids(trainer)
    best = trainer.run.train.select == "best" and store.exists("best.safetensors")
    require_lock(store)
    data = store.read_bytes("best.safetensors") if best else encode_tensors(weights)
    store.write_bytes("model.safetensors", data)
    store.write_json("model.json", ModelInfo.of(corpus.info).model_dump())
    store.write_json("labelled.json", labelled)
    store.write_json("trained_image_hashes.json", [corpus.value(name, "hash") for name in labelled])
    spec = artifact_spec(trainer.run)
    _write_tables(trainer, spec)
    finish(store, spec, _counts(trainer, labelled), seconds)


def labelled_ids(trainer: Trainer) -> list[str]:
    """Training images that were learnt from by their mask, or, where no masks are made, at all."""
    if not trainer.method.segments:
        return sorted({name for sampler in trainer.loader.samplers.values() for name in sampler.ids})
    return sorted(name for name in trainer.data.train if trainer.data.kinds[name] == "mask")


def _counts(trainer: Trainer, labelled: list[str]) -> dict[str, Any]:
    data, run, value = trainer.data, trainer.run, trainer.data.corpus.value
    kinds = list(data.kinds.values())
    return {
        "labelled_images": len(labelled),
        "labelled_groups": len({value(name, "group") for name in labelled}),
        "train_images": len(data.train),
        "train_groups": len({value(name, "group") for name in data.train}),
        "pseudo_images": kinds.count("pseudo"),
        "unlabelled_images": kinds.count(NO_MASK),
        "parameters": sum(p.numel() for p in trainer.method.networks.parameters()),
        "steps": run.train.steps,
        "workers": max(1, run.compute.workers),
        "peak_memory_mb": round(peak_memory_mb(), 1),
        **_best(trainer),
    }


def _best(trainer: Trainer) -> dict[str, float | None]:
    """The best score on the validation images, under its metric's key; nothing for a method that has none."""
    if not trainer.method.segments and not trainer.method.targets:
        return {}
    key = judged_by(read(trainer.store)) or trainer.method.metric()
    return {BEST + key: trainer.best if trainer.best >= 0 else None}


def _write_tables(trainer: Trainer, model: ArtifactSpec) -> None:
    """Each table of the method as a layer without masks, `id` and `weight`, in the model's folder."""
    for name, columns in trainer.method.tables().items():
        store = trainer.store / name
        store.write_table("rows-00000.parquet", pa.table(columns))
        weights = dict(zip(columns["id"], columns["weight"], strict=True))
        listed = []
        for place, image in enumerate(sorted(weights, key=weights.__getitem__)[:SHOWN]):
            store.write_bytes(f"least-{place}.png", _picture(trainer.data.get(image)))
            listed.append({"case": image, "weight": weights[image], "file": f"least-{place}.png"})
        store.write_json("pictures.json", listed)
        spec = ArtifactSpec("layer", model.inputs, {**model.settings, "table": name})
        finish(store, spec, {"rows": len(weights), "masks": 0}, 0.0)


def _picture(sample: TrainingSample) -> bytes:
    """The image and its weak mask at training size; of a volume the slice with most foreground."""
    assert sample.mask is not None, "only images with a weak mask have a weight"
    image, mask = sample.image, sample.mask
    if mask.ndim == 3:
        fullest = int(((mask > 0) & (mask != IGNORE)).sum((1, 2)).argmax())
        image, mask = image[:, fullest], mask[fullest]
    depth = np.uint8 if image.dtype == np.uint8 else np.uint16
    return panels(np.moveaxis(image, 0, -1).astype(depth), mask)
