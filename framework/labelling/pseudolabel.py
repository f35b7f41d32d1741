"""Pseudo-label a corpus: a segmentation model labels the training images that it had no mask for."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from pydantic import Field

from framework.core.artifact import read_part
from framework.core.errors import ConfigError, CorpusError
from framework.core.labels import IGNORE
from framework.core.storage import Store
from framework.labelling.job import Job, Source, StreamConfig

if TYPE_CHECKING:
    from framework.corpus.layer_writer import LayerWriter


class PseudoLabel(Job):
    """Label the training images that have no mask with a model, streamed by Ray Data."""

    class Config(StreamConfig):
        """How masks are made for images that have none."""

        confidence: float = Field(default=0.5, ge=0, le=1)
        """Pixels whose largest probability is lower claim nothing (255)."""

    name = "pseudolabel"
    artifact = "pseudo"
    measured = True
    reads = {"model": Source("Folder of a finished model.", "model")}

    def rows(self) -> list[str]:
        url, run = self.model.store.url, self.model.run
        if not self.model.method.segments:
            fault = f"{url}: a model of method '{run.method.name}', which makes no masks"
            raise ConfigError(f"{fault}; use one that segments")
        if run.corpus.patch:
            fault = f"{url}: a model of volumes; pseudo-labelling works image by image"
            raise ConfigError(f"{fault}: use a model trained without corpus.patch")
        labelled = set(read_part(self.model.store, "labelled.json", list[str]))
        names = [name for name in self.corpus.ids("train") if name not in labelled]
        if not names:
            fault = "every training image had its mask in training; nothing to pseudo-label"
            raise CorpusError(f"corpus '{self.corpus.info.name}': {fault}")
        return names

    def write(self, layer: LayerWriter) -> int:
        from framework.corpus.label_layers import LAYER_ROW
        from framework.labelling.stream import Pass, stream

        row = partial(pseudo_row, confidence=self.config.confidence)
        work = Pass(self.model.run.corpus.size, Infer, (self.model.store.url,), row, LAYER_ROW)
        return stream(work, self.corpus, layer, self.config)

    def counts(self, layer: LayerWriter) -> dict[str, Any]:
        from framework.labelling.least_sure import write_least_sure

        write_least_sure(self.corpus, layer.out)
        classes = self.corpus.info.classes
        columns = [layer.pixels(column, len(classes)) for column in ("predicted_pixels", "kept_pixels")]
        rows = zip(classes, *columns, strict=True)
        return {"classes": {name: {"predicted": predicted, "kept": kept} for name, predicted, kept in rows}}


class Infer:
    """The actor: pictures to probabilities of the first predictor."""

    def __init__(self, model_url: str) -> None:
        from framework.inference.predictor import Predictor, use_threads

        use_threads(1)
        self.predictor = Predictor(Store(model_url))

    def __call__(self, batch: Any) -> Any:
        probabilities = self.predictor.probabilities(batch.pop("pixels"))
        return batch | {"probability": next(iter(probabilities.values())).numpy()}


def pseudo_row(batch: Any, i: int, confidence: float) -> dict[str, Any]:
    """Probabilities `[K, S, S]` to a mask at the picture's own size; pixels under `confidence` are 255."""
    import numpy as np
    import torch

    from framework.imaging.decode import encode_png
    from framework.inference.predictor import at_own_size

    probability, shape = torch.from_numpy(np.array(batch["probability"][i])), batch["shape"][i].tolist()
    best, label = at_own_size(probability, shape).max(0)
    keep, classes = best >= confidence, len(probability)
    return {
        "mask": encode_png(label.masked_fill(~keep, IGNORE).numpy().astype(np.uint8)),
        "kind": "pseudo",
        "confidence": float(best.mean()),
        "kept": float(keep.float().mean()),
        "predicted_pixels": torch.bincount(label.flatten(), minlength=classes).tolist(),
        "kept_pixels": torch.bincount(label[keep].flatten(), minlength=classes).tolist(),
    }
