"""The training loop of every method: batches, backward, finite check, step; log, validation, checkpoints."""

import contextlib
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from framework.core.distributed import all_reduce_sum, on_any_rank, rank, world_size
from framework.core.errors import ConfigError
from framework.core.interruption import Interrupted
from framework.core.lock import require_lock
from framework.training.checkpoint import encode_tensors
from framework.training.metric_log import MetricLog
from framework.training.trainer import Trainer
from framework.training.validation import ClassificationValidator, MaskValidator, Scores

LOG_EVERY = 20
"""Steps between two writes of the log; every step is in it."""

Listener = Callable[[dict[str, Any]], None]
Metrics = dict[str, Tensor | float]
Validator = MaskValidator | ClassificationValidator


def fit(
    trainer: Trainer, listener: Listener = lambda record: None, is_asked: Callable[[], bool] = lambda: False
) -> None:
    """Train to the end from wherever the run is; log, validate and save where their intervals end, and at the
    last step. `listener` hears of every validation, on every rank. Raises `Interrupted`, on every rank and
    after a checkpoint, at the end of the step in which `is_asked` says on any of them that it is to stop."""
    config, validators = trainer.run.train, build_validators(trainer)
    _require_choice(trainer, validators)
    log = MetricLog(trainer.store, trainer.step, trainer.notices) if rank() == 0 else None
    pending: list[Metrics] = []
    end = time.perf_counter()
    with contextlib.closing(trainer.loader.run(trainer.step, config.steps)) as batches:
        while trainer.step < config.steps:
            begin = time.perf_counter()
            batch = trainer.to_device(next(batches))
            waited = time.perf_counter() - begin
            metrics = trainer.train_step(batch)
            trainer.step += 1
            begin, end = end, time.perf_counter()
            # From end to end, so that the seconds of all steps add up to the run's, checkpoints included.
            images = float(config.batch * len(batch))
            pending.append({**metrics, "images": images, "seconds": end - begin, "wait": waited})
            intervals = (config.validate_every, config.checkpoint_every, LOG_EVERY)
            ends = [trainer.step == config.steps or trainer.step % interval == 0 for interval in intervals]
            validates, saves, _ = ends
            stops = on_any_rank(is_asked(), trainer.device)
            if any(ends) or stops:
                _flush(trainer, log, pending)
            if validates:
                _validate(trainer, log, validators, listener)
            if saves or stops:
                trainer.save()
            if stops and trainer.step < config.steps:
                raise Interrupted(trainer.step)
    if log is not None:
        log.close()


def build_validators(trainer: Trainer) -> list[Validator]:
    """What measures the run on its validation images: its masks, its classes, or both; none without them."""
    validators: list[Validator] = [MaskValidator(trainer)] if trainer.method.segments else []
    if trainer.method.targets:
        validators.append(ClassificationValidator(trainer))
    return [validator for validator in validators if validator.ids]


def _require_choice(trainer: Trainer, validators: list[Validator]) -> None:
    if trainer.run.train.select == "best" and not validators:
        what = "mask" if trainer.method.segments else "known class"
        fault = f"train.select is 'best', but no validation image has a {what} to choose by"
        raise ConfigError(f"{fault}; give some the split 'val', or set train.select to last")


def _flush(trainer: Trainer, log: MetricLog | None, pending: list[Metrics]) -> None:
    """Average the metrics of all ranks, for the steps up to now in one sum, and write them."""
    names, first = list(pending[0]), trainer.step - len(pending) + 1
    rows = [[float(metrics[name]) for name in names] for metrics in pending]
    values = torch.tensor(rows, dtype=torch.float64)
    means = all_reduce_sum(values.to(trainer.device)) / world_size()
    statistics = {name: value.tolist() for name, value in trainer.method.statistics().items()}
    if log is not None:
        steps = enumerate(means.tolist(), first)
        log.write(*({"step": step, **dict(zip(names, row, strict=True))} for step, row in steps))
        if statistics:
            log.write({"step": trainer.step, "statistics": statistics})
    pending.clear()


def _validate(
    trainer: Trainer, log: MetricLog | None, validators: list[Validator], listener: Listener
) -> None:
    """Measure, log, and keep the best weights by the metric that the method is judged by."""
    if not validators:
        return
    scores: Scores = {}
    for validator in validators:
        scores |= validator.score(trainer)
    wanted = trainer.method.metric()
    judged = wanted if wanted in scores else next(iter(scores))
    mean = scores[judged].mean
    if mean > trainer.best:
        trainer.best = mean
        if trainer.run.train.select == "best":
            best = trainer.weights()  # gathered by all ranks
            if rank() == 0:
                require_lock(trainer.store)
                trainer.store.write_bytes("best.safetensors", encode_tensors(best))
    if log is not None:
        values = {key: score.values for key, score in scores.items()}
        log.write({"step": trainer.step, "validation": {"metric": judged, "mean": mean, **values}})
    listener({"step": trainer.step, "score": mean})
