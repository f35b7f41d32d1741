"""One rank's parts of a run: a step of training, and what is saved of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor

from framework.core.artifact import ArtifactSpec, Input, input_of
from framework.core.distributed import all_reduce_sum, barrier, gather_objects, rank, world_size
from framework.core.errors import CheckpointError, ConfigError, TrainingError
from framework.core.lock import require_lock
from framework.core.rng import stable_seed
from framework.core.storage import Store
from framework.corpus.label_layers import layer_store
from framework.corpus.schema import LAYER_COMMANDS, CorpusInfo, ModelInfo
from framework.loading.loader import Batch, Loader, StreamBatch
from framework.loading.training_set import TrainingSet
from framework.loading.volume_set import VolumeSet
from framework.methods.base import Method, MethodContext, Update
from framework.methods.registry import build_method, method_of
from framework.networks.ema import Ema
from framework.networks.registry import build_network
from framework.training import checkpoint as checkpoints
from framework.training.config import TrainConfig
from framework.training.optimise import lr_at
from framework.training.precision import parameter_type, safe_precision
from framework.training.pretrained import load_pretrained_models
from framework.training.strategies.base import Strategy
from framework.training.strategies.registry import build_strategy


@dataclass
class Trainer:
    """The parts of a run on one rank."""

    run: TrainConfig
    store: Store
    data: TrainingSet
    method: Method
    loader: Loader
    strategy: Strategy
    device: torch.device
    dtype: torch.dtype
    ema: Ema | None
    identity: dict[str, Any]
    step: int = 0
    best: float = -1.0
    notices: list[str] = field(default_factory=list)
    """What the reader of the log should know of the run's start."""

    @classmethod
    def build(cls, run: TrainConfig, store: Store, device: torch.device) -> Trainer:
        """All parts, freshly initialised: equal on all ranks. Raises errors that name what the run lacks."""
        batch, ranks, name = run.train.batch, world_size(), run.method.name
        if batch % ranks:
            fault = f"train.batch {batch} is not a multiple of compute.workers {ranks}"
            raise ConfigError(f"{fault}; change either")
        data = training_set(run)
        method = new_method(run, ModelInfo.of(data.corpus.info))
        loader = Loader(data, method.streams, name, batch, run.seed, run.augment, rank(), ranks)
        method.to(device)  # before it prepares: its counts are summed over ranks on their device
        method.prepare({name: sampler.ids for name, sampler in loader.samplers.items()}, loader.plain)
        load_pretrained_models(method, run, data.corpus)
        dtype = parameter_type(run.train.precision)
        method.to(device, dtype)
        precision = safe_precision(run.train.precision, device, volumes=bool(run.corpus.patch))
        strategy = build_strategy(run.compute.strategy, device, precision)
        strategy.wrap(method, run.optimiser)
        ema = Ema(method.networks, run.train.ema) if run.train.ema else None
        notices = untaught(method, data)
        return cls(
            run, store, data, method, loader, strategy, device, dtype, ema, identity(run), notices=notices
        )

    def restore(self) -> None:
        """Go on from the latest whole checkpoint that rank 0 finds, if there is one; all ranks raise
        `CheckpointError` when it is of another configuration, or beyond the run's end."""
        damaged: list[str] = []
        store = self.store / "checkpoints"
        if latest := checkpoints.latest_of_all(store, self.identity, self.device, damaged.append):
            self._take(latest)
        self.notices += [f"{fault}; passed over, the run goes on from step {self.step}" for fault in damaged]

    def _take(self, latest: checkpoints.Checkpoint) -> None:
        if latest.step > self.run.train.steps:
            fault = f"has a checkpoint of step {latest.step}, but train.steps is {self.run.train.steps}"
            raise CheckpointError(f"{self.store.url}: {fault}; raise it, or give the run another name")
        self.step, self.best = latest.step, latest.best
        self.strategy.load_model_state(latest.parts["model"])
        self.strategy.load_optimiser_state(latest.parts["optimiser"])
        if self.ema is not None:
            self.ema.shadow = latest.parts["ema"]

    def to_device(self, batch: Batch) -> Batch:
        """A batch of the loader on the run's device, its images in the dtype of the weights."""
        return {name: stream.to(self.device, self.dtype) for name, stream in batch.items()}

    def train_step(self, batch: Batch) -> dict[str, Tensor]:
        """All updates of one step; gives its metrics and its learning rate."""
        seed_device(self.device, stable_seed("step", self.run.seed, self.step, rank()) % 2**63)
        lr = lr_at(self.step, self.run.train.steps, self.run.optimiser)
        metrics: dict[str, Tensor] = {}
        updates = self.method.train_step(batch, self.step)
        while (update := self._next(updates)) is not None:
            require_finite(update.loss, batch, self.step)
            self.strategy.backward(update.group, update.loss)
            norm = self.strategy.step(update.group, lr * update.lr_scale)
            require_finite(norm, batch, self.step)
            metrics |= {"loss": update.loss.detach(), "gradient_norm": norm.detach(), **update.metrics}
        self.method.after_step(self.step, self.read)
        if self.ema is not None:
            self.ema.update(self.step)
        return metrics | {"lr": torch.tensor(lr, dtype=torch.float64)}

    def save(self) -> None:
        """Write a checkpoint from rank 0 and keep one older one; the state is gathered by all."""
        model, optimiser = self.strategy.model_state(), self.strategy.optimiser_state()
        if rank() == 0:
            require_lock(self.store)
            parts = {"model": model, "optimiser": optimiser}
            if self.ema is not None:
                parts["ema"] = self.ema.shadow
            store = self.store / "checkpoints"
            checkpoint = checkpoints.Checkpoint(self.step, parts, self.identity, self.best)
            checkpoints.prune(store, checkpoints.save(store, checkpoint))
        barrier()

    def weights(self) -> dict[str, Tensor]:
        """The model's weights, averaged where the run averages them."""
        if self.ema is None:
            return self.strategy.model_state()
        with self.ema.swapped_in():
            return {name: tensor.clone() for name, tensor in self.strategy.model_state().items()}

    def read(self, stream: str) -> Iterator[StreamBatch]:
        """This rank's share of a stream's images as they are, on the run's device."""
        return (part.to(self.device, self.dtype) for part in self.loader.plain(stream))

    def _next(self, updates: Iterator[Update]) -> Update | None:
        with self.strategy.autocast():
            return next(updates, None)


def untaught(method: Method, data: TrainingSet) -> list[str]:
    """The line about classes that no mask which the method learns from holds; nothing where there is none."""
    accepts = frozenset[str]().union(*(stream.accepts for stream in method.streams))
    lacking = data.untaught(accepts) if method.segments else []
    if not lacking:
        return []
    named = ", ".join(f"'{name}'" for name in lacking)
    return [f"no mask that this run learns from holds {named}: it cannot be learnt; see corpus.budget"]


def seed_device(device: torch.device, seed: int) -> None:
    """Seed the generators that a step uses; `torch.manual_seed` takes a millisecond for absent devices."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)


def training_set(run: TrainConfig) -> TrainingSet:
    if run.corpus.patch:
        return VolumeSet(run.corpus)
    method = method_of(run.method)
    return TrainingSet(run.corpus, method.multilabel and method.segments, run.seed)


def new_method(run: TrainConfig, model: ModelInfo) -> Method:
    """The run's method, freshly initialised, on the CPU."""
    names, channels, labels = model.classes, model.channels, model.labels
    outputs = len(names) - method_of(run.method).multilabel
    network = partial(build_network, run.network, channels, outputs, run.seed)
    context = MethodContext(names, run.train.steps, run.seed, network, channels, labels)
    return build_method(run.method, context)


def identity(run: TrainConfig) -> dict[str, Any]:
    """What determines the state after a step, by key: the configuration, the versions of the data, and the
    number of steps where what a step does depends on it."""
    settings, corpus = run.identity(), Store.at(run.corpus.path)
    steps = settings.pop("train.steps")
    if setting := run.bound_to_steps():
        settings[f"train.steps, on which {setting} depends"] = steps
    layers = [input_of(layer_store(corpus, name), "layer").hash for name in run.corpus.layers]
    models = {f"models.{role}": input_of(Store.at(url), "model").hash for role, url in run.models.items()}
    version = CorpusInfo.read(corpus).version
    return {**settings, "corpus.version": version, "corpus.layer_hashes": layers, **models}


def artifact_spec(run: TrainConfig) -> ArtifactSpec:
    """What a run's model is made from; raises when the corpus or a layer is not there."""
    corpus, mend = Store.at(run.corpus.path), f"make one with {LAYER_COMMANDS}"
    inputs = {"corpus": Input(corpus.url, CorpusInfo.read(corpus).version)}
    for name in run.corpus.layers:
        inputs[f"layer {name.rsplit('/', 1)[-1]}"] = input_of(layer_store(corpus, name), "layer", mend)
    for role, url in run.models.items():
        inputs[role] = input_of(Store.at(url), "model")
    return ArtifactSpec("model", inputs, run.identity())


def require_finite(value: Tensor, batch: Batch, step: int) -> None:
    """Stop all ranks together when a value is not finite on any of them; names the images of those ranks."""
    if bool(all_reduce_sum(torch.isfinite(value).float().reshape(1)) == world_size()):
        return
    mine = [] if bool(torch.isfinite(value)) else _suspects(batch)
    ids = ", ".join(sorted({name for names in gather_objects(mine) for name in names}))
    fault = f"step {step}: the loss is not finite; no weight was changed"
    raise TrainingError(f"{fault}. Images of the batch: {ids}")


def _suspects(batch: Batch) -> list[str]:
    """Images with values that are not finite, or all images when none has."""
    ids = [name for stream in batch.values() for name in stream.ids]
    finite = [bool(ok) for stream in batch.values() for ok in torch.isfinite(stream.image).flatten(1).all(1)]
    return [name for name, ok in zip(ids, finite, strict=True) if not ok] or ids
