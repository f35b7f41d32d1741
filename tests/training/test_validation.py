"""Validation of lesions that may overlap, and of classes, without a network: the predictions are drawn."""

from __future__ import annotations

import contextlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score

from framework.core.storage import Store
from framework.loading.training_set import TrainingSample
from framework.methods.base import Method
from framework.training import loop, validation, worker
from framework.training.metric_log import MetricLog, best_score, judged_by, read
from framework.training.validation import MaskValidator, Validated

IMAGES, SIZE, LESIONS = 40, 6, 3


class Drawn:
    """Stands in for a training set: images hold their number, masks spots and films as bits, and some ignored
    pixels."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self.masks = rng.integers(0, 4, (IMAGES, SIZE, SIZE), dtype=np.uint8)
        self.masks[:, 0] = 255
        names = [f"i{i}" for i in range(IMAGES)]
        row = {"mask_kind": "mask", "volume": None}
        self.corpus = SimpleNamespace(
            ids_in=lambda split: names,
            value=lambda name, column: row[column],
            info=SimpleNamespace(classes=["background", "spot", "film", "scar"]),
        )
        self.config = SimpleNamespace(patch=None)

    def get(self, name: str) -> TrainingSample:
        number = int(name[1:])
        return TrainingSample(
            np.full((1, SIZE, SIZE), number, np.uint8),
            self.masks[number],
            torch.tensor([0.0, 1.0]).view(2, 1, 1, 1),
        )


class Guess(Method):
    """Lesions that may overlap, from the number of the image."""

    multilabel = True

    def train_step(self, batch: Any, step: int) -> Any:
        """It learns nothing."""
        yield from ()

    def predict(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        chance = torch.stack([chances(int(number)) for number in image[:, 0, 0, 0]])
        return {
            "first": torch.cat([1 - chance.amax(1, keepdim=True), chance], 1),
            "second": torch.zeros(len(image), 4, SIZE, SIZE),
        }


def chances(number: int) -> torch.Tensor:
    drawn = torch.from_numpy(np.random.default_rng(number).integers(0, 1000, (LESIONS, SIZE, SIZE)))
    return (drawn + 0.5) / 1000


@pytest.fixture
def trainer() -> Any:
    run = SimpleNamespace(
        corpus=SimpleNamespace(patch=None), train=SimpleNamespace(batch=4, precision="fp32")
    )
    strategy = SimpleNamespace(autocast=contextlib.nullcontext)
    parts = {
        "strategy": strategy,
        "ema": None,
        "device": torch.device("cpu"),
        "dtype": torch.float32,
        "step": 3,
        "best": -1.0,
    }
    return SimpleNamespace(run=run, method=Guess(), data=Drawn(), **parts)


def test_the_score_is_the_area_over_the_pixels_of_all_images(trainer: Any) -> None:
    (validator,) = loop.build_validators(trainer)
    scores = validator.score(trainer)
    known = trainer.data.masks != 255
    score = np.stack([chances(i).numpy() for i in range(IMAGES)], 1)
    expected = [
        average_precision_score((trainer.data.masks >> bit & 1)[known], score[bit][known]) for bit in range(2)
    ]
    assert scores["aupr"].values == [*map(pytest.approx, expected), None]
    assert scores["aupr"].mean == pytest.approx(np.mean(expected))


def test_ranks_add_up_to_the_same_score(trainer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    validator = MaskValidator(trainer)
    alone, sums = validator.score(trainer), []
    monkeypatch.setattr(validation, "world_size", lambda: 2)
    monkeypatch.setattr(validation, "all_reduce_sum", lambda part: sums.append(part) or part)
    for rank in range(2):
        monkeypatch.setattr(validation, "rank", lambda rank=rank: rank)
        validator.score(trainer)
    monkeypatch.setattr(validation, "all_reduce_sum", lambda part: sums[0] + sums[1])
    assert sums[0].sum() and sums[1].sum() and validator.score(trainer) == alone


def test_images_without_any_lesion_score_nothing(trainer: Any) -> None:
    trainer.data.masks[:] = 0
    (validator,) = loop.build_validators(trainer)
    assert validator.score(trainer) == {"aupr": ([None] * LESIONS, 0.0)}


def test_the_log_and_the_listener_hear_of_it(trainer: Any, tmp_path: Path) -> None:
    heard: list[dict[str, Any]] = []
    trainer.run.train.select, log = "last", MetricLog(Store.at(tmp_path), 0)
    loop._validate(trainer, log, loop.build_validators(trainer), heard.append)
    log.close()
    (record,) = read(Store.at(tmp_path))
    assert heard == [{"step": 3, "score": record["validation"]["mean"]}] and trainer.best == heard[0]["score"]
    assert judged_by([{"step": 1}, record]) == "aupr" and judged_by([{"step": 1}]) is None


def test_what_cannot_be_judged_as_its_method_asks_is_judged_by_what_there_is(
    trainer: Any, tmp_path: Path
) -> None:
    """The AUC of a method of masks and grades, validated without masks, was counted as its AUPR."""
    scores = {"auc": Validated({"grade": 0.7}, 0.7), "kappa": Validated({"grade": 0.1}, 0.1)}
    validator: Any = SimpleNamespace(score=lambda trainer: scores)
    trainer.run.train.select, trainer.store = "last", Store.at(tmp_path)
    log = MetricLog(trainer.store, 0)
    loop._validate(trainer, log, [validator], lambda record: None)
    log.close()
    (record,) = read(trainer.store)
    assert record["validation"] == {
        "metric": "auc",
        "mean": 0.7,
        "auc": {"grade": 0.7},
        "kappa": {"grade": 0.1},
    }
    assert worker._best(trainer) == {"best_validation_auc": 0.7}


def test_the_best_score_has_the_name_of_what_it_is() -> None:
    assert best_score({"best_validation_dice": 0.4}) == ("Dice", 0.4)
    assert best_score({"best_validation_aupr": 0.2}) == ("AUPR", 0.2)
    assert best_score({"best_validation_auc": None}) is None and best_score({}) is None
    assert Guess.metric() == "aupr" and Method.metric() == "dice"
