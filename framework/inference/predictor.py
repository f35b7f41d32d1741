"""A finished model that maps pictures to probabilities at their own size. Runs no Ray."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
import yaml

from framework.config import RunConfig, parse
from framework.corpus import augment
from framework.corpus.schema import CorpusInfo
from framework.corpus.training_set import resize_image
from framework.errors import CheckpointError, CorpusError
from framework.pipeline.artefact import input_of
from framework.storage import Store
from framework.training.checkpoint import read_tensors
from framework.training.loop import new_method
from framework.training.precision import autocast


class Predictor:
    """A model of a `train` artefact, in evaluation mode on one device."""

    def __init__(self, store: Store, device: torch.device | None = None) -> None:
        """Raises `CorpusError` when no finished model is there, `CheckpointError` when its weights are damaged."""
        input_of(store, "model")
        about = store.read_json("model.json")
        self.run: RunConfig = parse(yaml.safe_load(store.read_text("config.yaml")), RunConfig, f"{store.url}/config.yaml")
        self.classes: list[str] = about["classes"]
        self.channels: int = about["channels"]
        self.device = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.method = new_method(self.run, self.channels, len(self.classes))
        try:
            self.method.load_state_dict(read_tensors(store, "model.safetensors"))
        except RuntimeError as error:
            raise CheckpointError(f"{store.url}/model.safetensors: does not fit its config.yaml ({str(error)[:120]})") from None
        self.method.eval().to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def prepare(self, image: np.ndarray) -> np.ndarray:
        """A decoded picture `[H, W, C]` at the network's size `[C, S, S]`."""
        return resize_image(image, self.run.corpus.size)

    @torch.no_grad()
    def probabilities(self, prepared: np.ndarray) -> dict[str, torch.Tensor]:
        """Probabilities `[B, K, S, S]`, float32 on the processor, by predictor, of prepared pictures `[B, C, S, S]`."""
        image = torch.from_numpy(prepared).to(self.device).float()
        image = augment.standardise(image).to(memory_format=torch.channels_last)
        with autocast(self.device, self.run.train.precision):
            found = self.method.predict(image)
        return {name: p.float().cpu() for name, p in found.items()}

    def segment(self, images: Sequence[np.ndarray]) -> dict[str, list[np.ndarray]]:
        """Class ids `[H, W]` uint8 at each picture's own size, by predictor."""
        found = self.probabilities(np.stack([self.prepare(image) for image in images]))
        return {
            name: [
                at_own_size(p, image.shape[:2]).argmax(0).numpy().astype(np.uint8) for p, image in zip(many, images, strict=True)
            ]
            for name, many in found.items()
        }

    def require_fits(self, info: CorpusInfo) -> None:
        """Raise `CorpusError` when a corpus has other classes or channels than the model was trained on."""
        for what, mine, other in (("classes", self.classes, info.classes), ("channels", self.channels, info.channels)):
            if mine != other:
                raise CorpusError(f"the model knows {what} {mine}, corpus '{info.name}' has {other}; use a model of its kind")


def at_own_size(probability: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    """Probabilities `[K, S, S]` resized bilinearly to `[K, H, W]`."""
    return F.interpolate(probability[None], tuple(shape), mode="bilinear", align_corners=False)[0]


def use_threads(count: int) -> None:
    """As many threads as this process owns processors."""
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", count)))
