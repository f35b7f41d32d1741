"""The report's pictures of the whole way from image-level labels to masks: a few images, each through all that was made."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from framework.corpus.layers import Layer
from framework.corpus.map_layers import MapLayer
from framework.corpus.reader import Corpus, Sample
from framework.corpus.resize import resize_mask
from framework.corpus.schema import IGNORE, CorpusInfo
from framework.errors import CorpusError, ScantsegError
from framework.evaluation.evaluate import predicted_mask
from framework.evaluation.pictures import (
    SMALLEST,
    colour_of,
    data_address,
    evenly,
    grey,
    heat,
    overlay,
    panel,
    side_by_side,
)
from framework.evaluation.report_sources import Artefact
from framework.inference.predictor import Predictor, run_of
from framework.methods.build import makes_masks
from framework.methods.irnet import IRNet, IRNetConfig
from framework.storage import Store

COUNT = 4
"""Images of a way."""

ABOUT = {
    "image": "Images whose labels say that a class is there, spread over their sorted ids.",
    "CAM": "CAM: what speaks for the strongest class, from purple to yellow.",
    "seeds": "Seeds: where the maps are sure; hatched where they claim nothing.",
    "boundary map": "Boundary map: white where a boundary is found.",
    "walk": "Walk: the maps, carried up to the boundaries.",
    "mask": "Mask: the pseudo mask that is cut out of the maps.",
    "prediction": "Prediction: by the model that learnt from the masks.",
    "truth": "The true mask is there to compare with alone: no step from the labels to the masks reads it.",
}
"""The columns in their order, each with a sentence."""

Panel = NDArray[np.uint8]
Draw = Callable[[Sample, Panel], Panel]
"""From a row of the corpus and its picture `[h, w, 3]` to a column's picture of that size."""


@dataclass(frozen=True)
class Column:
    """What stands over a column, the artefact that it shows, and how."""

    title: str
    name: str
    draw: Draw


def way_entries(artefacts: Sequence[Artefact]) -> list[dict[str, Any]]:
    """What the template shows of each way: of all artefacts that go back to the same maps, where there are maps among them."""
    ways: dict[str, list[Artefact]] = {}
    for artefact in artefacts:
        if key := beginning(artefact):
            ways.setdefault(key, []).append(artefact)
    return [_entry(way, artefacts) for way in ways.values() if any(artefact.kind == "map layer" for artefact in way)]


def beginning(artefact: Artefact) -> str | None:
    """The key of the first maps that maps, seeds, masks or a model of them go back to; None for what was made without maps."""
    if before := artefact.parent("maps"):
        return beginning(before.artefact) if before.artefact else before.key
    if artefact.kind == "map layer":
        return artefact.key
    layers = [parent.artefact for parent in artefact.parents if parent.role.startswith("layer ")]
    return next((key for layer in layers if layer and (key := beginning(layer))), None)


def _entry(way: Sequence[Artefact], artefacts: Sequence[Artefact]) -> dict[str, Any]:
    """The pictures, or why there are none: a report about a run whose corpus is elsewhere still says all else."""
    maps = next(artefact for artefact in way if artefact.kind == "map layer")
    try:
        return {"name": maps.name, "missing": None} | _pictures(way, corpus_of(maps, artefacts), maps)
    except ScantsegError as error:
        return {"name": maps.name, "missing": f"{maps.name}: {error}"}


def _pictures(way: Sequence[Artefact], corpus: Corpus, maps: Artefact) -> dict[str, Any]:
    samples = [corpus.read(name) for name in choose(corpus, MapLayer(maps.store, corpus).classes)]
    columns = [
        Column("image", "", lambda sample, base: base),
        *(_column(artefact, corpus) for artefact in filter(has_picture, way)),
    ]
    if all(sample.mask is not None for sample in samples):
        columns.append(Column("truth", "", lambda sample, base: _masked(base, sample.mask)))
    columns.sort(key=lambda column: list(ABOUT).index(column.title))
    titles = {column.title for column in columns}
    return {
        "about": [sentence for title, sentence in ABOUT.items() if title in titles],
        "classes": [{"name": name, "colour": colour_of(k)} for k, name in enumerate(corpus.info.classes) if k],
        "columns": columns,
        "pictures": [{"name": sample.id, "split": sample.split, "data": _row(sample, columns)} for sample in samples],
    }


def choose(corpus: Corpus, classes: Mapping[str, Sequence[int]]) -> list[str]:
    """Images to show of those that have maps, `classes` by id: training images with a true mask when there are any."""
    names = sorted(name for name, held in classes.items() if held)
    masked = [name for name in names if corpus.value(name, "mask_kind") == "mask"]
    among = [name for name in masked if corpus.value(name, "split") == "train"] or masked or names
    if not among:
        raise CorpusError("no image has a map")
    return evenly(among, COUNT)


def corpus_of(maps: Artefact, artefacts: Sequence[Artefact]) -> Corpus:
    """The corpus that maps were made for; an artefact records its version, but not where it is."""
    made_for = maps.parent("corpus")
    assert made_for is not None
    tried = addresses(maps, artefacts)
    for store in map(Store.at, tried):
        if store.exists("corpus.json") and CorpusInfo.read(store).version == made_for.hash:
            return Corpus(store)
    raise CorpusError(
        f"corpus '{made_for.name}' is not at {' or '.join(tried)}; write the report in the folder that the run was started in"
    )


def addresses(maps: Artefact, artefacts: Sequence[Artefact]) -> list[str]:
    """Where a corpus may be: beside its layers, and where the models that were trained on it found it."""
    made_for = maps.parent("corpus")
    assert made_for is not None
    made = [(artefact, artefact.parent("corpus")) for artefact in artefacts if artefact.kind == "model"]
    models = [model for model, corpus in made if corpus and corpus.hash == made_for.hash]
    beside = [maps.store.url.rsplit("/", 2)[0]] if maps.store.url.split("/")[-2] == "layers" else []
    return [*beside, *dict.fromkeys(run_of(model.store).corpus.path for model in models)]


def has_picture(artefact: Artefact) -> bool:
    """Whether an artefact gives something to look at: of models those that make masks or find boundaries."""
    if artefact.kind != "model":
        return True
    method = run_of(artefact.store).method
    return makes_masks(method) or isinstance(method, IRNetConfig)


def _column(artefact: Artefact, corpus: Corpus) -> Column:
    if artefact.kind == "map layer":
        return Column("walk" if artefact.parent("maps") else "CAM", artefact.name, _heat(MapLayer(artefact.store, corpus)))
    if artefact.kind == "layer":
        title = "seeds" if "without_seed" in artefact.counts else "mask"
        return Column(title, artefact.name, _layer(Layer(artefact.store, corpus)))
    predictor = Predictor(artefact.store)
    if makes_masks(predictor.run.method):
        return Column("prediction", artefact.name, lambda sample, base: _masked(base, predicted_mask(corpus, predictor, sample)))
    return Column("boundary map", artefact.name, lambda sample, base: grey(_boundary(predictor, sample), *base.shape[:2]))


def _heat(layer: MapLayer) -> Draw:
    """Draws the largest of an image's maps at each place."""

    def draw(sample: Sample, base: Panel) -> Panel:
        maps = layer.maps(sample.id) if sample.id in layer else {}
        return heat(base, np.max(list(maps.values()), axis=0)) if maps else base

    return draw


def _layer(layer: Layer) -> Draw:
    """Draws an image's mask; of an image that the layer does not know, nothing is claimed."""

    def draw(sample: Sample, base: Panel) -> Panel:
        shape = sample.image.shape[:2]
        return _masked(base, layer.mask(sample.id, shape) if sample.id in layer else np.full(shape, IGNORE, np.uint8))

    return draw


@torch.no_grad()
def _boundary(predictor: Predictor, sample: Sample) -> NDArray[np.float32]:
    """Probability of a boundary `[h, w]`."""
    assert isinstance(predictor.method, IRNet)
    image = predictor.standardised(predictor.prepare(sample.image)[None])
    return predictor.method.boundaries(image)[0].cpu().numpy()


def _masked(base: Panel, mask: NDArray[np.uint8] | None) -> Panel:
    assert mask is not None
    return overlay(base, resize_mask(mask, *base.shape[:2]))


def _row(sample: Sample, columns: Sequence[Column]) -> str:
    """The columns side by side as a data address; small, as there are many."""
    base = panel(sample.image, SMALLEST)
    return data_address(side_by_side([column.draw(sample, base) for column in columns]))
