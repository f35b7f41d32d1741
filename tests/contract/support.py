"""What every contract test needs: tiny runs of each method over one tiny phantom."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import torch

from framework.config import RunConfig, merge, parse
from framework.corpus.layer_parts import write_masks
from framework.corpus.layers import layer_store
from framework.corpus.pack import pack
from framework.corpus.reader import Corpus
from framework.corpus.schema import IGNORE
from framework.corpus.weak_layer import simulate
from framework.corpus.weaken import Box
from framework.pipeline.artefact import Input, Recipe, finish
from framework.pipeline.run import phantom_source
from framework.pipeline.stages import PhantomConfig
from framework.storage import Store
from framework.training.loop import fit
from framework.training.metric_log import read
from framework.training.run import train
from framework.training.trainer import Trainer

JUDGE = {"widths": [4, 8]}
GRADE = {"grade": {"label": "grade"}, "encoder": {"name": "encoder", "widths": [4, 4, 8, 8]}}

METHODS: dict[str, dict[str, Any]] = {
    "supervised": {"name": "supervised"},
    "mean_teacher": {"name": "mean_teacher", "ramp": 0.0},
    "ua_mt": {"name": "ua_mt", "ramp": 0.0},
    "cps": {"name": "cps", "ramp": 0.0},
    "fixmatch": {"name": "fixmatch", "threshold": 0.3, "cutmix": 1.0},
    "unimatch": {"name": "unimatch", "threshold": 0.3, "cutmix": 1.0},
    "mixing": {"name": "mixing"},
    "dcr": {"name": "dcr"},
    "dcr-dii": {"name": "dcr", "indicators": {"initial": 0.5, "start": 2, "interval": 4}},
    "dcr-dii-all": {"name": "dcr", "indicators": {"initial": 0.5, "start": 2, "interval": 4, "scope": "all", "momentum": 0.5}},
    "classifier": {"name": "classifier", "dropblock": {"share": 0.2, "block": 3}},
    "irnet": {"name": "irnet", "radius": 4},
    "irnet-displacement": {"name": "irnet", "radius": 3, "displacement": True},
    "sks": {"name": "sks"},
    "sks-plain": {"name": "sks", "fss": False, "cross": False, "initialise": True},
    "lesions": {"name": "lesions", "adversary": JUDGE},
    "lesions-alone": {"name": "lesions", "adversary": None},
    "grader": {"name": "grader", **GRADE},
    "collaborative": {"name": "collaborative", **GRADE, "healthy": "none", "adversary": JUDGE, "joint": 0.1},
    "coda": {"name": "coda", "ramp": 0.0, "warmup": 2},
    "coda-conditional": {"name": "coda", "ramp": 0.0, "warmup": 2, "alignment": "per_class_conditional", "expectation": "global"},
    "coda-marginal": {"name": "coda", "ramp": 0.0, "warmup": 2, "expectation": "marginal"},
}

WEAK = ("mixing", "dcr", "dcr-dii", "dcr-dii-all")
"""Those that read a layer of weak masks."""

IRNETS = ("irnet", "irnet-displacement")
"""Those that read a layer of seeds."""

PROMPTED = ("sks", "sks-plain")
"""Those whose segmenter starts from a classifier."""

STAGED = {"grader": {"segmenter": "lesions"}, "collaborative": {"segmenter": "lesions", "grader": "grader"}}
"""Those that start from other methods' models, by role."""

WITHOUT_MASKS = ("classifier", *IRNETS, "grader")
"""Those that make no masks."""

WITH_DROPOUT = ("mean_teacher", "ua_mt")
"""Those whose recipes have dropout."""

WITH_ENCODERS = ("classifier", *IRNETS, *PROMPTED)
"""Those whose networks give features."""

VOLUMES = "-3d"
"""Ending of a method's name for the same method on volumes."""


IN_DEPTH = ("supervised", "mean_teacher", "cps", "coda", "dcr", "dcr-dii")
CASES = [*METHODS, *(method + VOLUMES for method in IN_DEPTH)]
"""Every method, and those that are tried on volumes too."""


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
    """Eight steps (of volumes, four) in double precision: a difference that AdamW has amplified is then no rounding of float32."""
    return {"train": {"steps": 4 if method.endswith(VOLUMES) else 8, "precision": "fp64"}}


def build_phantom(folder: Path, images: int = 40, size: int = 48) -> str:
    """A packed phantom with layers of boxes and of seeds, and models that others start from beside it; gives its path."""
    pack(phantom_source(PhantomConfig(images=images, size=size), "tiny"), Store.at(folder))
    simulate(str(folder), "box", Box())
    _write_seeds(Corpus.open(str(folder)))
    for method in ("classifier", "lesions", "grader"):
        train(tiny_run(str(folder), method, folder.parent).model_copy(update={"name": f"{folder.name}-{method}"}))
    return str(folder)


def _write_seeds(corpus: Corpus) -> None:
    """A layer of the true masks without their left quarter."""

    def seeds(name: str) -> np.ndarray:
        mask = np.array(corpus.mask(name))
        mask[:, : mask.shape[1] // 4] = IGNORE
        return mask

    out, names = layer_store(corpus.store, "seed"), corpus.ids("train")
    write_masks(out, "seed", names, seeds, 0.0, lambda done, total: None)
    finish(out, Recipe("layer", {"corpus": Input(corpus.store.url, corpus.info.version)}, {}), {"rows": len(names)}, 0.0)


def tiny_run(corpus: str, method: str, out: Path | str, changes: dict[str, Any] | None = None) -> RunConfig:
    """A run of a few steps at 32 px in float32, in this process; of volumes with the corpus beside that of images."""
    base, volumes, _ = method.partition(VOLUMES)
    value = {
        "name": method,
        "out": str(out),
        "corpus": {"path": corpus, "size": 32, "budget": {"share": 0.5}, "layers": ["box"] if base in WEAK else []},
        "network": {"name": "encoder", "widths": [4, 4, 8, 8]} if base in WITH_ENCODERS else {"widths": [4, 8]},
        "method": copy.deepcopy(METHODS[base]),  # what a test changes is its own
        "train": {"steps": 6, "batch": 4, "precision": "fp32", "validate_every": 100, "checkpoint_every": 100},
        "compute": {"workers": 0},
    }
    if method in WITH_DROPOUT:
        merge(value, {"network": {"dropout": 0.5}})
    if base in IRNETS:
        merge(value, {"corpus": {"layers": ["seed"]}})
    if base in PROMPTED:
        merge(value, {"models": {"classifier": f"{corpus}-classifier"}})
    if base in STAGED:
        merge(value, {"models": {role: f"{corpus}-{model}" for role, model in STAGED[base].items()}})
    if volumes:
        in_depth = {"corpus": {"path": corpus + VOLUMES, "patch": [4, 24, 24]}, "network": {"name": "monai", "widths": [4, 8]}}
        merge(value, in_depth)
    return parse(merge(value, changes or {}))


def build(run: RunConfig) -> Trainer:
    """The parts of a run on the processor, gone on from its checkpoint if it has one."""
    trainer = Trainer.build(run, Store.at(run.out) / run.name, torch.device("cpu"))
    trainer.restore()
    return trainer


def trained(run: RunConfig, stop: int | None = None) -> Trainer:
    """A run trained to its end, or interrupted hard after `stop` steps."""
    trainer = build(run)
    if stop is None:
        fit(trainer)
        return trainer
    for step in range(trainer.step, stop):
        trainer.train_step(trainer.placed(trainer.loader.at(step)))
        trainer.step += 1
    trainer.save()
    return trainer


def losses(run: RunConfig, what: str = "loss") -> list[float]:
    """The logged loss of every step, or another of its metrics."""
    return [record[what] for record in read(Store.at(run.out) / run.name) if what in record]
