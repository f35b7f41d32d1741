"""How right a label layer is, where the corpus holds masks that training was not shown."""

from typing import Any

import numpy as np

from framework.core.labels import IGNORE
from framework.core.storage import Store
from framework.corpus.label_layers import Layer
from framework.corpus.reader import Corpus

FILE = "quality.json"


def measure_layer(corpus: Corpus, store: Store) -> dict[str, Any] | None:
    """Write and give, by class, the share of its predicted pixels that were kept, and the accuracy of those.

    What is written already is given as it is. None when no image of the layer has a mask in the corpus. This
    is measured on training images: it says how good the pseudo-labels were, and must not choose settings.
    """
    if store.exists(FILE):
        return store.read_json(FILE)
    layer = Layer(store, corpus)
    names = [
        name for name in corpus.in_stored_order(layer.kinds) if corpus.value(name, "mask_kind") == "mask"
    ]
    if not names:
        return None
    classes = len(corpus.info.classes)
    kept, right = np.zeros(classes, np.int64), np.zeros(classes, np.int64)
    for sample in corpus.rows(names):
        assert sample.mask is not None
        claimed = layer.mask(sample.id, sample.mask.shape)
        counted = (claimed != IGNORE) & (sample.mask != IGNORE)
        kept += np.bincount(claimed[counted], minlength=classes)[:classes]
        right += np.bincount(claimed[counted & (claimed == sample.mask)], minlength=classes)[:classes]
    pixels = layer.artifact["counts"]["classes"]
    quality = {
        "images": len(names),
        "classes": {
            name: {
                "kept_share": pixels[name]["kept"] / max(1, pixels[name]["predicted"]),
                "accuracy": float(right[k] / kept[k]) if kept[k] else None,
                "pixels": int(kept[k]),
            }
            for k, name in enumerate(corpus.info.classes)
        },
    }
    store.write_json(FILE, quality)
    return quality
