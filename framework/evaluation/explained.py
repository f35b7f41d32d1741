"""Pictures of what a model sees: maps and masks that its method explains itself by, and its classes."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from framework.core.labels import IGNORE
from framework.core.storage import Store
from framework.corpus.reader import Corpus, Sample
from framework.imaging.overlay import SMALLEST, evenly, heat, overlay, panel, side_by_side
from framework.imaging.resize import resize_mask
from framework.inference.predictor import Predictor

COUNT = 4  # images to show


def write_explained(out: Store, corpus: Corpus, predictor: Predictor, names: Sequence[str]) -> None:
    """Pictures of some images, and `explained.json` about them, of a method that explains itself."""
    columns, entries = [], []
    for number, name in enumerate(chosen(corpus, names)):
        sample, file = corpus.read(name), f"explained-{number}.png"
        image = predictor.standardised(predictor.prepare(sample.image)[None])
        labels = torch.as_tensor(sample.labels, device=image.device)[None].long()
        seen = predictor.method.explain(image, labels)
        if not seen:
            return
        columns = ["image", *seen, "prediction", "truth"]
        out.write_bytes(file, side_by_side(_panels(predictor, sample, image, seen)))
        told = {"predictions": _predictions(predictor, sample, image), "inside": _inside(sample, seen)}
        entries.append({"name": sample.id, "file": file} | told)
    out.write_json("explained.json", {"columns": columns, "pictures": entries})


def chosen(corpus: Corpus, names: Sequence[str]) -> list[str]:
    """At most `COUNT` images with a structure, evenly over their sorted names; of all when none has one."""
    masks = ((name, corpus.mask(name)) for name in sorted(names))
    shown = [k for k, mask in masks if mask is not None and ((mask > 0) & (mask != IGNORE)).any()]
    return evenly(shown or sorted(names), COUNT)


@torch.no_grad()
def _panels(
    predictor: Predictor, sample: Sample, image: torch.Tensor, seen: dict[str, torch.Tensor]
) -> list[NDArray[np.uint8]]:
    base = panel(sample.image, SMALLEST)
    prediction = next(iter(predictor.method.predict(image).values()))[0].argmax(0)
    shown = [each.cpu().numpy() for each in (*(values[0] for values in seen.values()), prediction)]
    return [base, *(_drawn(base, values) for values in (*shown, np.asarray(sample.mask)))]


def _drawn(base: NDArray[np.uint8], values: NDArray[Any]) -> NDArray[np.uint8]:
    """A map in 0..1 as heat, class ids as a mask."""
    if values.dtype.kind == "f":
        return heat(base, values)
    return overlay(base, resize_mask(values, *base.shape[:2]))


def _inside(sample: Sample, seen: dict[str, torch.Tensor]) -> dict[str, float]:
    """By map, the share of it that lies inside the true mask of any structure, where there is one."""
    if sample.mask is None or not sample.structure:
        return {}
    shares = {}
    for name, values in seen.items():
        evidence = values[0].cpu().numpy()
        if evidence.dtype.kind == "f" and evidence.sum() > 0:
            mask = resize_mask(np.asarray(sample.mask), *evidence.shape[-2:])
            shares[name] = float(evidence[(mask > 0) & (mask != IGNORE)].sum() / evidence.sum())
    return shares


@torch.no_grad()
def _predictions(predictor: Predictor, sample: Sample, image: torch.Tensor) -> list[dict[str, Any]]:
    probability, predictions = predictor.method.classify(image), []
    for target in predictor.method.targets:
        truth = target.of_one(sample.labels.tolist())
        predicted = target.classes[int(probability[target.name][0].argmax())]
        true = target.classes[truth] if truth >= 0 else None
        predictions.append({"target": target.name, "truth": true, "prediction": predicted})
    return predictions
