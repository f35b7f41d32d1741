"""The report's gallery from image-level labels to masks: a few images, each through all that was made."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from framework.core.errors import CorpusError, ScantsegError
from framework.core.labels import IGNORE
from framework.core.storage import Store
from framework.corpus.label_layers import Layer
from framework.corpus.map_layers import MapLayer
from framework.corpus.reader import Corpus, Sample
from framework.corpus.schema import CorpusInfo
from framework.evaluation.evaluate import predicted_mask
from framework.imaging.overlay import SMALLEST, data_address, evenly, grey, heat, overlay, panel, side_by_side
from framework.imaging.resize import resize_mask
from framework.inference.predictor import Predictor, run_of
from framework.methods.base import FindsBoundaries
from framework.methods.registry import method_of
from framework.reporting.sources import Artifact, class_colours

COUNT = 4  # images of a gallery
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


class Column(NamedTuple):
    """What stands over a column, the artifact that it shows, and how: a row over its picture `[h, w, 3]`."""

    title: str
    name: str
    draw: Callable[[Sample, Panel], Panel]


def gallery_entries(artifacts: Sequence[Artifact]) -> list[dict[str, Any]]:
    """A gallery for all artifacts that go back to the same maps, where there are maps among them."""
    chains: dict[str, list[Artifact]] = {}
    for artifact in artifacts:
        if key := beginning(artifact):
            chains.setdefault(key, []).append(artifact)
    return [
        _entry(chain, maps, artifacts)
        for chain in chains.values()
        if (maps := next((each for each in chain if each.kind == "map layer"), None))
    ]


def beginning(artifact: Artifact) -> str | None:
    """The key of the first maps that an artifact goes back to; None for what was made without maps."""
    if before := artifact.parent("maps"):
        return beginning(before.artifact) if before.artifact else before.key
    if artifact.kind == "map layer":
        return artifact.key
    layers = [parent.artifact for parent in artifact.parents if parent.role.startswith("layer ")]
    return next((key for layer in layers if layer and (key := beginning(layer))), None)


def _entry(chain: Sequence[Artifact], maps: Artifact, artifacts: Sequence[Artifact]) -> dict[str, Any]:
    """The pictures, or why there are none: a report without the corpus still says all else."""
    try:
        return {"name": maps.name, "missing": None} | _pictures(chain, corpus_of(maps, artifacts), maps)
    except ScantsegError as error:
        return {"name": maps.name, "missing": f"{maps.name}: {error}"}


def _pictures(chain: Sequence[Artifact], corpus: Corpus, maps: Artifact) -> dict[str, Any]:
    layer = MapLayer(maps.store, corpus)
    samples = [corpus.read(name) for name in choose(corpus, layer.classes)]
    columns = [Column("image", "", lambda sample, base: base)]
    columns += [_column(artifact, corpus) for artifact in filter(has_picture, chain)]
    if all(sample.mask is not None for sample in samples):
        columns.append(Column("truth", "", lambda sample, base: _masked(base, sample.mask)))
    columns.sort(key=lambda column: list(ABOUT).index(column.title))
    titles = {column.title for column in columns}
    return {
        "about": [sentence for title, sentence in ABOUT.items() if title in titles],
        "classes": class_colours(corpus.info.classes[1:]),
        "columns": columns,
        "pictures": [
            {"name": s.id, "split": s.split, "data": _row(s, columns), "inside": inside(s, layer)}
            for s in samples
        ],
    }


def inside(sample: Sample, layer: MapLayer) -> float | None:
    """The share of an image's maps that lies inside the true masks of their classes, where there are any."""
    maps = layer.maps(sample.id)
    total = sum(float(values.sum()) for values in maps.values())
    if sample.mask is None or not sample.structure or not total:
        return None
    planes = sample.planes(max(maps) + 1)
    masks = {k: resize_mask(planes[k - 1].astype(np.uint8), *values.shape) for k, values in maps.items()}
    return sum(float(values[masks[k] > 0].sum()) for k, values in maps.items()) / total


def choose(corpus: Corpus, classes: Mapping[str, Sequence[int]]) -> list[str]:
    """Images to show of those with maps of `classes`: training images with a true mask when there are any."""
    names = sorted(name for name, mapped in classes.items() if mapped)
    masked = [name for name in names if corpus.value(name, "mask_kind") == "mask"]
    among = [name for name in masked if corpus.value(name, "split") == "train"] or masked or names
    if not among:
        raise CorpusError("no image has a map")
    return evenly(among, COUNT)


def corpus_of(maps: Artifact, artifacts: Sequence[Artifact]) -> Corpus:
    """The corpus that maps were made for; an artifact records its version, but not where it is."""
    made_for = maps.parent("corpus")
    assert made_for is not None
    tried = addresses(maps, made_for.hash, artifacts)
    for store in map(Store.at, tried):
        if store.exists("corpus.json") and CorpusInfo.read(store).version == made_for.hash:
            return Corpus(store)
    hint = "write the report in the folder that the run was started in"
    raise CorpusError(f"corpus '{made_for.name}' is not at {' or '.join(tried)}; {hint}")


def addresses(maps: Artifact, version: str, artifacts: Sequence[Artifact]) -> list[str]:
    """Where a corpus may be: beside its layers, and where the models that were trained on it found it."""
    made = [(artifact, artifact.parent("corpus")) for artifact in artifacts if artifact.kind == "model"]
    models = [model for model, corpus in made if corpus and corpus.hash == version]
    beside = [maps.store.url.rsplit("/", 2)[0]] if maps.store.url.split("/")[-2] == "layers" else []
    return [*beside, *dict.fromkeys(run_of(model.store).corpus.path for model in models)]


def has_picture(artifact: Artifact) -> bool:
    """Whether an artifact gives something to look at: of models those that make masks or find boundaries."""
    if artifact.kind != "model":
        return True
    method = method_of(run_of(artifact.store).method)
    return method.segments or issubclass(method, FindsBoundaries)


def _column(artifact: Artifact, corpus: Corpus) -> Column:
    if artifact.kind == "map layer":
        title = "walk" if artifact.parent("maps") else "CAM"
        return Column(title, artifact.name, partial(_heat, MapLayer(artifact.store, corpus)))
    if artifact.kind == "layer":
        title = "seeds" if artifact.record.get("job") == "seeds" else "mask"
        return Column(title, artifact.name, partial(_layer, Layer(artifact.store, corpus)))
    predictor, name = Predictor(artifact.store), artifact.name
    if predictor.method.segments:
        return Column("prediction", name, lambda s, base: _masked(base, predicted_mask(corpus, predictor, s)))
    return Column("boundary map", name, lambda s, base: grey(_boundary(predictor, s), *base.shape[:2]))


def _heat(layer: MapLayer, sample: Sample, base: Panel) -> Panel:
    """The largest of an image's maps at each place."""
    maps = layer.maps(sample.id) if sample.id in layer else {}
    return heat(base, np.max(list(maps.values()), axis=0)) if maps else base


def _layer(layer: Layer, sample: Sample, base: Panel) -> Panel:
    """The mask; where the layer does not know the image, nothing is claimed."""
    shape, known = sample.image.shape[:2], sample.id in layer
    return _masked(base, layer.mask(sample.id, shape) if known else np.full(shape, IGNORE, np.uint8))


@torch.no_grad()
def _boundary(predictor: Predictor, sample: Sample) -> NDArray[np.float32]:
    assert isinstance(predictor.method, FindsBoundaries)
    image = predictor.standardised(predictor.prepare(sample.image)[None])
    return predictor.method.boundaries(image)[0].cpu().numpy()


def _masked(base: Panel, mask: NDArray[np.uint8] | None) -> Panel:
    assert mask is not None
    return overlay(base, resize_mask(mask, *base.shape[:2]))


def _row(sample: Sample, columns: Sequence[Column]) -> str:
    """The columns side by side as a data address; small, as there are many."""
    base = panel(sample.image, SMALLEST)
    return data_address(side_by_side([column.draw(sample, base) for column in columns]))
