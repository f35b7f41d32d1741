"""Pictures of a collaborative model: of a few images the attention of each lesion, the pseudo mask it leads to, and the grade."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from framework.corpus.reader import Corpus, Sample
from framework.corpus.resize import resize_mask
from framework.corpus.schema import IGNORE
from framework.evaluation.pictures import SMALLEST, evenly, heat, overlay, panel, side_by_side
from framework.inference.predictor import Predictor
from framework.methods.collaborative import Collaborative
from framework.storage import Store

COUNT = 4
"""Images to show."""


def write_attention(out: Store, corpus: Corpus, predictor: Predictor, names: Sequence[str]) -> None:
    """Write a picture each of some images with lesions, and `attention.json`, which says what stands in its columns."""
    samples = [corpus.read(name) for name in chosen(corpus, names)]
    classes = corpus.info.classes[1:]
    columns = ["image", *(f"attention: {name}" for name in classes), "pseudo mask", "prediction", "truth"]
    entries = []
    for number, sample in enumerate(samples):
        file = f"attention-{number}.png"
        drawn, grades = _drawn(predictor, sample)
        out.write_bytes(file, side_by_side(drawn))
        entries.append({"name": sample.id, "file": file} | grades)
    out.write_json("attention.json", {"columns": columns, "pictures": entries})


def chosen(corpus: Corpus, names: Sequence[str]) -> list[str]:
    """At most `COUNT` images with a lesion, evenly over their sorted names; of all images when none has one."""
    held = [name for name in sorted(names) if (mask := corpus.mask(name)) is not None and ((mask > 0) & (mask != IGNORE)).any()]
    return evenly(held or sorted(names), COUNT)


@torch.no_grad()
def _drawn(predictor: Predictor, sample: Sample) -> tuple[list[NDArray[np.uint8]], dict[str, Any]]:
    """The panels of one image, and its true and found grade; a grade that is not known is taken for one with lesions."""
    method = predictor.method
    assert isinstance(method, Collaborative) and sample.mask is not None
    target = method.targets[0]
    truth = target.of_one(sample.labels.tolist())
    image = predictor.standardised(predictor.prepare(sample.image)[None])
    found = method.attended(image, torch.tensor([truth == method.healthy], device=image.device))
    base = panel(sample.image, SMALLEST)
    masks = [flattened(found.pseudo[0].cpu().numpy()), method.predict(image)["network 1"][0].argmax(0).cpu().numpy(), sample.mask]
    drawn = [base, *(heat(base, attention.cpu().numpy()) for attention in found.attention[0])]
    drawn += [overlay(base, resize_mask(mask, *base.shape[:2])) for mask in masks]
    answer = int(found.grade[0].argmax())
    return drawn, {"truth": target.classes[truth] if truth >= 0 else None, "answer": target.classes[answer]}


def flattened(planes: NDArray[np.integer]) -> NDArray[np.uint8]:
    """Planes `[L, H, W]` of 0, 1 and 255 as class ids `[H, W]`: the last lesion there, 255 where none is and one is unsaid."""
    ids = np.where((planes == IGNORE).any(0), IGNORE, 0).astype(np.uint8)
    for number, plane in enumerate(planes, start=1):
        ids[plane == 1] = number
    return ids
