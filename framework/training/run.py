"""From a configuration to a finished model artefact; the same call again continues or recognises it."""

from __future__ import annotations

import os
import time
from typing import Any

import torch

from framework.config import RunConfig
from framework.corpus.layers import layer_store
from framework.corpus.schema import NO_MASK, CorpusInfo, ModelInfo
from framework.pipeline.artefact import Input, Recipe, finish, input_of, is_finished
from framework.storage import Store
from framework.training.collective import rank
from framework.training.loop import Listener, fit
from framework.training.memory import keep_freed_memory, peak_memory_mb
from framework.training.metric_log import best_key
from framework.training.tables import write_tables
from framework.training.trainer import Trainer


def model_store(run: RunConfig) -> Store:
    """The folder of a run."""
    return Store.at(run.out) / run.name


def recipe(run: RunConfig) -> Recipe:
    """What a run's model is made from; raises when the corpus or a layer is not there."""
    corpus = Store.at(run.corpus.path)
    inputs = {"corpus": Input(corpus.url, CorpusInfo.read(corpus).version)}
    for name in run.corpus.layers:
        inputs[f"layer {name.rsplit('/', 1)[-1]}"] = input_of(layer_store(corpus, name), "layer")
    for role, url in run.models.items():
        inputs[role] = input_of(Store.at(url), "model")
    settings = {k: v for k, v in run.identity().items() if k != "corpus.layers"}
    return Recipe("model", inputs, settings)


def train(run: RunConfig) -> Store:
    """Train a model, or finish it, or recognise it as finished; gives its folder."""
    store = model_store(run)
    wanted = recipe(run)
    if is_finished(store, wanted):
        return store
    with store.held():
        store.write_text("config.yaml", run.to_yaml())  # anew: an attempt that failed may have left another
        _fit(run, store)
    return store


def _fit(run: RunConfig, store: Store) -> None:
    """On Ray's workers, or without any in this process."""
    if run.compute.workers:
        from framework.training.ray_driver import fit_on_ray

        fit_on_ray(run, store)
    else:
        from framework.training.progress import follow

        with follow(store, run.name, run.train.steps):
            train_worker(run, store, torch.device("cpu"))


def train_worker(run: RunConfig, store: Store, device: torch.device, listener: Listener = lambda record: None) -> None:
    """What every rank does: build, restore, train, and, on rank 0, write the model."""
    if device.type == "cpu":
        torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", run.compute.cpus_per_worker)))
        keep_freed_memory()
    started = time.perf_counter()
    trainer = Trainer.build(run, store, device)
    trainer.restore()
    fit(trainer, listener)
    if rank() == 0:
        _write_model(trainer, time.perf_counter() - started)


def _write_model(trainer: Trainer, seconds: float) -> None:
    from safetensors.torch import save

    store, info = trainer.store, trainer.data.corpus.info
    if trainer.run.train.select == "best" and store.exists("best.safetensors"):
        store.write_bytes("model.safetensors", store.read_bytes("best.safetensors"))
    else:
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in trainer.weights().items()}
        store.write_bytes("model.safetensors", save(tensors))
    store.write_json("model.json", ModelInfo.of(info).model_dump())
    labelled = labelled_ids(trainer)
    store.write_json("labelled.json", labelled)
    store.write_json("learnt.json", [trainer.data.corpus.value(name, "hash") for name in labelled])
    write_tables(trainer, recipe(trainer.run))
    finish(store, recipe(trainer.run), _counts(trainer, labelled), seconds)


def labelled_ids(trainer: Trainer) -> list[str]:
    """Training images that were learnt from by their mask, or, where no masks are made, those that were learnt from at all."""
    if not trainer.method.segments:
        return sorted({name for order in trainer.loader.orders.values() for name in order.ids})
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
    """The best score on the validation images, under its name; nothing for a method that neither segments nor answers."""
    if not trainer.method.segments and not trainer.method.targets:
        return {}
    return {best_key(trainer.method.measure()): trainer.best if trainer.best >= 0 else None}
