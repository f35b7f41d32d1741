"""Maps of evidence for a whole corpus: a classifier's class activation maps (methods/README 2.3)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from pydantic import Field

from framework.core.errors import ConfigError, CorpusError, nearest
from framework.core.storage import Store
from framework.labelling.job import Job, Source, Split, StreamConfig

if TYPE_CHECKING:
    import numpy as np

    from framework.corpus.layer_writer import LayerWriter
    from framework.corpus.targets import Target

STRIDE = 4
"""Pixels of the classifier's input to one of the maps."""


class Shown(NamedTuple):
    """A class of the masks, and the class of a target that means it is there, by numbers."""

    class_id: int
    target: int
    number: int


class Cam(Job):
    """Map where a classifier sees the evidence for its classes, streamed by Ray Data.

    An image has a map for each class that its labels say is there, and none for the others.
    """

    class Config(StreamConfig):
        """How maps of evidence are made from a classifier."""

        shows: dict[str, tuple[str, str]] = Field(min_length=1)
        """CLASS=TARGET.VALUE: The class of the masks that a class of a target means is there."""
        kind: Literal["grad-cam++", "grad-cam", "cam"] = "grad-cam++"
        """What weighs the features."""
        scales: list[float] = Field(default=[1.0, 0.5, 0.75, 2.0], min_length=1)
        """Sizes of the image, relative to the classifier's, whose maps are added."""
        flip: bool = True
        """Add the maps of the mirrored image."""
        splits: list[Split] = Field(default=["train"], min_length=1)
        """Splits whose images get maps."""

    name = "cam"
    artifact = "maps"
    kind = "map layer"
    reads = {"model": Source("Folder of a finished classifier.", "model")}

    @cached_property
    def targets(self) -> tuple[Target, ...]:
        """What the classifier classifies by."""
        method: Any = self.model.method  # an `Explainable` one tells its class its targets
        if not hasattr(method, "targets_of"):
            fault = f"a model of method '{self.model.run.method.name}' has nothing to explain"
            raise ConfigError(f"{self.model.store.url}: {fault}; train method 'classifier'")
        return method.targets_of(self.model.run.method, self.model.info.labels)

    @cached_property
    def shown(self) -> list[Shown]:
        """What the names in `shows` stand for."""
        classes, targets = self.corpus.info.classes, {target.name: target for target in self.targets}
        shown = []
        for name, (target, value) in self.config.shows.items():
            class_id = 1 + _place(name, classes[1:], f"shows.{name}: the masks have no class")
            place = _place(target, list(targets), f"shows.{name}: the classifier has no target")
            fault = f"shows.{name}: target '{target}' has no class"
            shown.append(Shown(class_id, place, _place(value, targets[target].classes, fault)))
        return shown

    def rows(self) -> list[str]:
        from framework.corpus.targets import UNKNOWN

        names = [name for name in self._listed() if UNKNOWN not in self._answers(name)]
        if not names:
            fault = f"no image of {', '.join(self.config.splits)} has the labels that the maps are made by"
            raise CorpusError(f"corpus '{self.corpus.info.name}': {fault}")
        return names

    def write(self, layer: LayerWriter) -> int:
        from framework.corpus.map_layers import MAP_ROW, MapsRow
        from framework.labelling.stream import Pass, stream

        arguments = (self.model.store.url, self.corpus.store.url, self.shown, self.config)
        row = MapsRow([shown.class_id for shown in self.shown])
        work = Pass(self.model.run.corpus.size, Explain, arguments, row, MAP_ROW)
        return stream(work, self.corpus, layer, self.config)

    def counts(self, layer: LayerWriter) -> dict[str, Any]:
        classes, rows = self.corpus.info.classes, [self._answers(name) for name in layer.names]
        counts = {}
        for shown, values in zip(self.shown, zip(*rows, strict=True), strict=True):
            counts[f"with {classes[shown.class_id]}"] = values.count(shown.number)
        unknown = len(self._listed()) - len(layer.names)
        return counts | ({"left out whose label is not known": unknown} if unknown else {})

    def _listed(self) -> list[str]:
        return [name for split in self.config.splits for name in self.corpus.ids(split)]

    def _answers(self, name: str) -> list[int]:
        """What an image's labels say, for each class that is shown."""
        labels = self.corpus.value(name, "labels")
        return [self.targets[shown.target].of_one(labels) for shown in self.shown]


def _place(name: str, known: Sequence[str], fault: str) -> int:
    if name not in known:
        raise ConfigError(f"{fault} '{name}'{nearest(name, known)}")
    return known.index(name)


class Explain:
    """The actor: pictures to the maps of the classes that their image-level labels say are there."""

    def __init__(self, model_url: str, corpus_url: str, shown: Sequence[Shown], config: Cam.Config) -> None:
        from framework.corpus.reader import Corpus
        from framework.inference.predictor import Predictor, use_threads

        use_threads(1)
        self.predictor = Predictor(Store(model_url))
        self.side = -(-self.predictor.run.corpus.size // STRIDE)
        self.corpus, self.shown, self.config = Corpus.open(corpus_url), shown, config

    def __call__(self, batch: Any) -> Any:
        import numpy as np

        pixels, targets = batch.pop("pixels"), self.predictor.method.targets
        labels = [self.corpus.value(name, "labels") for name in batch["id"]]
        there = np.zeros((len(labels), len(self.shown)), bool)
        maps = np.zeros((*there.shape, self.side, self.side), np.float32)
        for column, shown in enumerate(self.shown):
            there[:, column] = [targets[shown.target].of_one(row) == shown.number for row in labels]
            mine = np.flatnonzero(there[:, column])
            if mine.size:
                maps[mine, column] = self.explain(pixels[mine], shown)
        return batch | {"there": there, "maps": maps}

    def explain(self, pixels: np.ndarray, shown: Shown) -> np.ndarray:
        """Maps `[B, side, side]` float32 in 0..1 of prepared pictures `[B, C, S, S]`."""
        from framework.labelling.cam.evidence import summed_evidence

        method: Any = self.predictor.method
        image, config = self.predictor.standardised(pixels), self.config
        maps = summed_evidence(method, image, *shown[1:], config.kind, config.scales, config.flip, self.side)
        return maps.cpu().numpy()
