"""Label layers of weak masks: simulated from the true masks of a corpus, or drawn by people and read from a folder."""

from __future__ import annotations

import hashlib
import json
import time
from typing import Any

import numpy as np

from framework.core.artifact import ArtifactSpec, Input, finish, is_finished
from framework.core.callbacks import OnProgress, silent
from framework.core.errors import CorpusError, RowError, nearest
from framework.core.labels import IGNORE
from framework.core.rng import generator
from framework.core.storage import Store
from framework.corpus.label_layers import layer_store
from framework.corpus.layer_writer import claim, write_masks
from framework.corpus.reader import Corpus
from framework.corpus.schema import WEAK_KINDS
from framework.corpus.sources.folder import Picture, pictures
from framework.imaging.decode import decode_mask
from framework.imaging.resize import resize_mask
from framework.labelling.weak.simulators import Simulator, weaken


def simulate(
    corpus_url: str,
    layer: str,
    simulator: Simulator,
    seed: int = 0,
    split: str = "train",
    swapped: float = 0.0,
    error_budget: float = 0.01,
    on_progress: OnProgress = silent,
) -> Store:
    """Make the layer, or finish it, or recognise it: a weak label for every image of the split that has a pixel mask.

    What is drawn for an image depends on (seed, id) alone, but for the share `swapped` that gets another one's label, as happens
    when files are confused. Where lesions overlap (`bits`), the mask is first flattened to one class id per pixel, as in training.
    Raises `CorpusError` when the split has no mask, and over the error budget of rows that a disk has damaged.
    """
    corpus = Corpus.open(corpus_url)
    out = layer_store(corpus.store, layer)
    settings: dict[str, Any] = {"simulator": simulator.model_dump(mode="json"), "seed": seed, "split": split}
    settings |= (
        {"swapped": swapped} if swapped else {}
    )  # layers that were made before there was a choice are recognised
    recipe = ArtifactSpec("layer", {"corpus": Input(corpus.store.url, corpus.info.version)}, settings)
    if is_finished(out, recipe):
        return out
    names = [name for name in corpus.ids(split) if corpus.value(name, "mask_kind") == "mask"]
    if not names:
        raise CorpusError(
            f"corpus '{corpus.info.name}': no image of split '{split}' has a pixel mask; nothing to weaken"
        )
    claim(out, recipe)
    started = time.perf_counter()
    others = _swapped(names, swapped, seed)

    def drawn(name: str) -> np.ndarray:
        mask = corpus.mask(others.get(name, name))
        assert mask is not None
        fitting = resize_mask(mask, corpus.value(name, "height"), corpus.value(name, "width"))
        return weaken(fitting, simulator, generator("weaken", seed, name))

    kind = "noisy" if simulator.kind in ("erode", "dilate") else simulator.kind
    bad = write_masks(out, kind, names, drawn, error_budget, on_progress)
    finish(out, recipe, {"rows": len(names) - bad, "quarantined": bad}, time.perf_counter() - started)
    return out


def _swapped(names: list[str], share: float, seed: int) -> dict[str, str]:
    """Whose mask an image gets instead of its own: about `share` of all, put into a random circle, each that of the next."""
    place = {name: generator("swap", seed, name).random() for name in names}
    circle = sorted((name for name in names if place[name] < share), key=place.__getitem__)
    return dict(zip(circle, circle[1:] + circle[:1], strict=True))


def import_masks(
    folder_url: str,
    corpus_url: str,
    layer: str,
    kind: str,
    error_budget: float = 0.05,
    on_progress: OnProgress = silent,
) -> Store:
    """Make a layer of the pictures `ID.png` in a folder, or finish it, or recognise it.

    Images without a picture are not in the layer; pictures that do not fit their image or hold unknown class ids are in its
    quarantine. Raises `CorpusError` for an unknown kind, when no picture is of an image of the corpus, and over the budget.
    """
    if kind not in WEAK_KINDS:
        raise CorpusError(f"kind of weak mask is '{kind}'{nearest(kind, WEAK_KINDS)}")
    corpus, folder = Corpus.open(corpus_url), Store.at(folder_url)
    found = pictures(folder)
    names = [name for name in corpus.index_columns["id"] if name in found]
    if not names:
        example = f"such as '{corpus.index_columns['id'][0]}.png'"
        raise CorpusError(
            f"{folder.url}: no picture of an image of corpus '{corpus.info.name}'; expected ID.png, {example}"
        )
    out = layer_store(corpus.store, layer)
    inputs = {
        "corpus": Input(corpus.store.url, corpus.info.version),
        "folder": Input(folder.url, _fingerprint(found)),
    }
    recipe = ArtifactSpec("layer", inputs, {"kind": kind})
    if is_finished(out, recipe):
        return out
    claim(out, recipe)
    started = time.perf_counter()

    def read(name: str) -> np.ndarray:
        shape = corpus.value(name, "height"), corpus.value(name, "width")
        mask = decode_mask(folder.read_bytes(found[name].file), shape, len(corpus.info.classes), "ids")
        if kind == "scribble" and (mask != IGNORE).all():
            raise RowError(f"scribble claims every pixel: save what is not drawn as {IGNORE}")
        return mask

    bad = write_masks(out, kind, names, read, error_budget, on_progress)
    without, strays = len(corpus.index_columns["id"]) - len(names), len(found) - len(names)
    counts = {
        "rows": len(names) - bad,
        "quarantined": bad,
        "images_without_file": without,
        "files_without_image": strays,
    }
    finish(out, recipe, counts, time.perf_counter() - started)
    return out


def _fingerprint(found: dict[str, Picture]) -> str:
    """Of the name and size of each file: a picture whose size changed since is another source."""
    return hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()[:16]
