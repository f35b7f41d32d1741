"""A finished model that maps pictures to probabilities at their own size. Runs no Ray."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from framework.core.artifact import read_part
from framework.core.errors import CheckpointError, CorpusError
from framework.core.memory_format import lay_out, layout
from framework.core.storage import Store
from framework.corpus.schema import CorpusInfo, ModelInfo
from framework.imaging.resize import resize_image
from framework.loading import augmentation as augment
from framework.methods.base import Method
from framework.methods.registry import method_of
from framework.methods.sliding_window import predict_whole
from framework.training.config import TrainConfig
from framework.training.precision import autocast, safe_precision
from framework.training.pretrained import run_of, self_contained, weights_of
from framework.training.trainer import new_method


@dataclass(frozen=True)
class ModelCard:
    """What is known of a finished model before its weights are read."""

    store: Store
    run: TrainConfig
    info: ModelInfo

    @classmethod
    def open(cls, store: Store) -> ModelCard:
        """Raises `CorpusError` when no finished model is there."""
        return cls(store, run_of(store), read_part(store, "model.json", ModelInfo))

    @property
    def method(self) -> type[Method]:
        return method_of(self.run.method)

    def require_fits(self, info: CorpusInfo) -> None:
        """Raise `CorpusError` when a corpus has other classes, channels or labels than the model's."""
        classes, labels = ["classes"] * self.method.segments, ["labels"] * self.method.classifies()
        for what in [*classes, "channels", *labels]:
            mine, other = getattr(self.info, what), getattr(info, what)
            if mine != other:
                fault = f"the model knows {what} {mine}, corpus '{info.name}' has {other}"
                raise CorpusError(f"{fault}; use a model of its kind")


class Predictor:
    """A model of a `train` artifact, in evaluation mode on one device."""

    def __init__(self, store: Store) -> None:
        """Raises `CorpusError` when no finished model is there, `CheckpointError` for damaged weights."""
        self.card = ModelCard.open(store)
        self.run = self.card.run
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.method = new_method(self_contained(self.run), self.card.info)
        try:
            self.method.load_state_dict(weights_of(store))
        except RuntimeError as error:
            fault = f"does not fit its config.yaml ({str(error)[:120]})"
            raise CheckpointError(f"{store.url}/model.safetensors: {fault}") from None
        lay_out(self.method.eval().to(self.device))
        self.seconds, self.images = 0.0, 0  # of pictures that went through the network, and how many

    def prepare(self, image: np.ndarray) -> np.ndarray:
        """A decoded picture `[H, W, C]` at the network's size `[C, S, S]`."""
        return resize_image(image, self.run.corpus.size)

    @torch.no_grad()
    def classify(self, prepared: np.ndarray) -> dict[str, torch.Tensor]:
        """Probabilities `[B, C]` by target, float32 on the processor, of pictures `[B, C, S, S]`."""
        with autocast(self.device, safe_precision(self.run.train.precision, self.device, volumes=False)):
            by_target = self.method.classify(self.standardised(prepared))
        return {name: p.float().cpu() for name, p in by_target.items()}

    @torch.no_grad()
    def probabilities(self, prepared: np.ndarray) -> dict[str, torch.Tensor]:
        """Probabilities `[B, K, S, S]` by predictor, float32 on the processor, of prepared `[B, C, S, S]`.

        A model of volumes takes the pictures for the slices of one volume, in order.
        """
        patch, precision = self.run.corpus.patch, self.run.train.precision
        with autocast(self.device, safe_precision(precision, self.device, volumes=bool(patch))):
            predictions = predict_whole(self.method, self.standardised(prepared), patch)
        return {name: (p[0].movedim(1, 0) if patch else p).float().cpu() for name, p in predictions.items()}

    def standardised(self, prepared: np.ndarray) -> torch.Tensor:
        """Pictures `[B, C, S, S]` as the network takes them; for a model of volumes `[1, C, B, S, S]`."""
        image = torch.from_numpy(prepared).to(self.device).float()
        image = augment.standardise(image.movedim(0, 1)[None] if self.run.corpus.patch else image)
        return image.to(memory_format=layout(image.dim()))

    def at_own_sizes(self, images: Sequence[np.ndarray]) -> Iterator[dict[str, torch.Tensor]]:
        """Probabilities `[K, H, W]` at each picture's own size, by predictor; a 3D model takes a volume.

        The network runs once over all pictures; only one at a time is at its own size.
        """
        started = time.perf_counter()
        predictions = self.probabilities(np.stack([self.prepare(image) for image in images]))
        self.seconds += time.perf_counter() - started
        self.images += len(images)
        for i, image in enumerate(images):
            yield {name: at_own_size(many[i], image.shape[:2]) for name, many in predictions.items()}

    def segment(self, images: Sequence[np.ndarray]) -> dict[str, list[np.ndarray]]:
        """Class ids `[H, W]` uint8 at each picture's own size, by predictor; a 3D model takes a volume."""
        rows = [{name: class_ids(p) for name, p in each.items()} for each in self.at_own_sizes(images)]
        return {name: [masks[name] for masks in rows] for name in rows[0]}

    def planes(self, probability: torch.Tensor) -> np.ndarray:
        """Where each class but the background is the likeliest, bool `[K-1, H, W]`, by `[K, H, W]`; lesions
        that may overlap are where they are likelier than not."""
        if self.method.multilabel:
            return (probability[1:] > 0.5).numpy()
        return class_ids(probability) == np.arange(1, len(probability))[:, None, None]


def at_own_size(probability: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    """Probabilities or maps `[K, S, S]` resized bilinearly to `[K, H, W]`."""
    return F.interpolate(probability[None], tuple(shape), mode="bilinear", align_corners=False)[0]


def class_ids(probability: torch.Tensor) -> np.ndarray:
    """The likeliest class `[H, W]` uint8 of probabilities `[K, H, W]`."""
    return probability.argmax(0).numpy().astype(np.uint8)


def use_threads(count: int) -> None:
    """As many threads as this process owns processors."""
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", count)))
