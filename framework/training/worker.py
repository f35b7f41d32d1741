"""What every rank of a training does: build, restore, train, and, on rank 0, write the model."""

import os
import time
from typing import Any

import torch
from torch import Tensor

from framework.core.artifact import finish
from framework.core.distributed import rank
from framework.core.storage import Store
from framework.corpus.schema import NO_MASK, ModelInfo
from framework.training.checkpoint import encode_tensors
from framework.training.config import TrainConfig
from framework.training.loop import Listener, fit
from framework.training.memory import keep_freed_memory, peak_memory_mb
from framework.training.metric_log import BEST, judged_by, read
from framework.training.tables import write_tables
from framework.training.trainer import Trainer, artifact_spec


def train_worker(
    run: TrainConfig, store: Store, device: torch.device, listener: Listener = lambda record: None
) -> None:
    """What every rank does: build, restore, train, and, on rank 0, write the model."""
    if device.type == "cpu":
        torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", run.compute.cpus_per_worker)))
        keep_freed_memory()
    started = time.perf_counter()
    trainer = Trainer.build(run, store, device)
    trainer.restore()
    fit(trainer, listener)
    weights = trainer.weights()
    if rank() == 0:
        _write_model(trainer, weights, time.perf_counter() - started)


def _write_model(trainer: Trainer, weights: dict[str, Tensor], seconds: float) -> None:
    store, info = trainer.store, trainer.data.corpus.info
    if trainer.run.train.select == "best" and store.exists("best.safetensors"):
        store.write_bytes("model.safetensors", store.read_bytes("best.safetensors"))
    else:
        store.write_bytes("model.safetensors", encode_tensors(weights))
    store.write_json("model.json", ModelInfo.of(info).model_dump())
    labelled = labelled_ids(trainer)
    store.write_json("labelled.json", labelled)
    store.write_json(
        "trained_image_hashes.json", [trainer.data.corpus.value(name, "hash") for name in labelled]
    )
    spec = artifact_spec(trainer.run)
    write_tables(trainer, spec)
    finish(store, spec, _counts(trainer, labelled), seconds)


def labelled_ids(trainer: Trainer) -> list[str]:
    """Training images that were learnt from by their mask, or, where no masks are made, those that were
    learnt from at all."""
    if not trainer.method.segments:
        return sorted({name for sampler in trainer.loader.samplers.values() for name in sampler.ids})
    return sorted(name for name in trainer.data.train if trainer.data.kinds[name] == "mask")


def _counts(trainer: Trainer, labelled: list[str]) -> dict[str, Any]:
    data, run = trainer.data, trainer.run
    group = data.corpus.value
    return {
        "labelled_images": len(labelled),
        "labelled_groups": len({group(name, "group") for name in labelled}),
        "train_images": len(data.train),
        "train_groups": len({group(name, "group") for name in data.train}),
        "pseudo_images": sum(kind == "pseudo" for kind in data.kinds.values()),
        "unlabelled_images": sum(kind == NO_MASK for kind in data.kinds.values()),
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
