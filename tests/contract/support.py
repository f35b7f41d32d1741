"""What every contract test needs: tiny runs of each method over one tiny phantom."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from framework.core.artifact import ArtifactSpec, Input, finish
from framework.core.config_files import merge, parse
from framework.core.labels import IGNORE
from framework.core.storage import Store
from framework.corpus.label_layers import layer_store
from framework.corpus.layer_writer import LayerWriter
from framework.corpus.reader import Corpus
from framework.corpus.writer import pack
from framework.experiments.pipeline.config import PhantomConfig
from framework.experiments.pipeline.run import phantom_source
from framework.labelling.job import make
from framework.labelling.weak.config import Box
from framework.labelling.weak.simulate import SimulateWeak
from framework.methods.registry import METHODS
from framework.training.config import TrainConfig
from framework.training.loop import fit
from framework.training.metric_log import read
from framework.training.run import train
from framework.training.trainer import Trainer

EXAMPLES: dict[str, tuple[str, str]] = {
    f"{name}-{variant}" if variant else name: (name, variant)
    for name, method in METHODS.items()
    for variant in method.examples
}
"""Method and variant of every method's own examples, by name."""

VOLUMES = "-3d"
"""Ending of an example's name for the same method on volumes."""

CASES = [
    *EXAMPLES,
    *(name + VOLUMES for name, (m, variant) in EXAMPLES.items() if METHODS[m].examples[variant].volumes),
]
"""Every example, and those that are tried on volumes too."""

STRATEGIES: dict[str, dict[str, Any]] = {
    name: {"compute": {"strategy": strategy}}
    for name, strategy in {
        "ddp": {"name": "ddp"},
        "zero1": {"name": "deepspeed", "zero": 1},
        "zero2": {"name": "deepspeed", "zero": 2},
    }.items()
}
UNDER_STRATEGIES = {"coda": 50, "collaborative": 10}
"""Steps that a method of two networks, and one of three optimisers, take under each strategy."""


def long(method: str) -> dict[str, Any]:
    """Eight steps (of volumes, four) in double precision: a difference is then no amplified rounding."""
    return {"train": {"steps": 4 if method.endswith(VOLUMES) else 8, "precision": "fp64"}}


def build_phantom(folder: Path, images: int = 40, size: int = 48) -> str:
    """A phantom with layers of boxes and seeds, and the models that others start from; gives its path."""
    pack(phantom_source(PhantomConfig(images=images, size=size), "tiny"), Store.at(folder))
    make(SimulateWeak, Box(), str(folder), "box")
    _write_seeds(Corpus.open(str(folder)))
    for method in ("classifier", "lesions", "grader"):
        train(
            tiny_run(str(folder), method, folder.parent).model_copy(
                update={"name": f"{folder.name}-{method}"}
            )
        )
    return str(folder)


def _write_seeds(corpus: Corpus) -> None:
    """A layer of the true masks without their left quarter."""

    def seeds(name: str) -> np.ndarray:
        mask = np.array(corpus.mask(name))
        mask[:, : mask.shape[1] // 4] = IGNORE
        return mask

    out, names = layer_store(corpus.store, "seed"), corpus.ids("train")
    LayerWriter(out, names).write_masks("seed", seeds)
    finish(
        out,
        ArtifactSpec("layer", {"corpus": Input(corpus.store.url, corpus.info.version)}, {}),
        {"rows": len(names)},
        0.0,
    )


def tiny_run(corpus: str, name: str, out: Path | str, changes: dict[str, Any] | None = None) -> TrainConfig:
    """A few steps at 32 px in float32, in this process; of volumes with the corpus beside that of images.

    What a test changes of it is its own.
    """
    base, volumes, _ = name.partition(VOLUMES)
    method, variant = EXAMPLES[base]
    value = {
        "name": name,
        "out": str(out),
        "corpus": {"path": corpus, "size": 32, "budget": {"share": 0.5}},
        "method": {"name": method},
        "train": {
            "steps": 6,
            "batch": 4,
            "precision": "fp32",
            "validate_every": 100,
            "checkpoint_every": 100,
        },
        "compute": {"workers": 0},
    }
    merge(value, METHODS[method].example(variant))
    value["models"] = {role: f"{corpus}-{method}" for role, method in value.get("models", {}).items()}
    if volumes:
        network = {"name": "monai", "widths": [4, 8]}
        merge(value, {"corpus": {"path": corpus + VOLUMES, "patch": [4, 24, 24]}, "network": network})
    return parse(merge(value, changes or {}), TrainConfig)


def build(run: TrainConfig) -> Trainer:
    """The parts of a run on the processor, gone on from its checkpoint if it has one."""
    trainer = Trainer.build(run, Store.at(run.out) / run.name, torch.device("cpu"))
    trainer.restore()
    return trainer


def trained(run: TrainConfig, stop: int | None = None) -> Trainer:
    """A run trained to its end, or interrupted hard after `stop` steps."""
    trainer = build(run)
    if stop is None:
        fit(trainer)
        return trainer
    for step in range(trainer.step, stop):
        trainer.train_step(trainer.to_device(trainer.loader.batch_at(step)))
        trainer.step += 1
    trainer.save()
    return trainer


def losses(run: TrainConfig, what: str = "loss") -> list[float]:
    """The logged loss of every step, or another of its metrics."""
    return [record[what] for record in read(Store.at(run.out) / run.name) if what in record]
