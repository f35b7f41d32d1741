"""Simulate weak labels from true masks, to try what they would be worth."""

from __future__ import annotations

from typing import TYPE_CHECKING

from framework.core.errors import CorpusError
from framework.labelling.job import Job
from framework.labelling.weak.config import Simulator

if TYPE_CHECKING:
    import numpy as np

    from framework.corpus.layer_writer import LayerWriter


class SimulateWeak(Job):
    """Simulate weak labels from the true masks of a split, to try what they would be worth.

    What is drawn for an image depends on (seed, id) alone, but for the share that gets another one's label.
    Where lesions overlap (`bits`), the mask is first flattened to one class id a pixel, as in training.
    """

    Config = Simulator
    name = "simulate-weak"
    artifact = "weak"

    def rows(self) -> list[str]:
        split, value = self.config.split, self.corpus.value
        names = [name for name in self.corpus.ids(split) if value(name, "mask_kind") == "mask"]
        if not names:
            fault = f"no image of split '{split}' has a pixel mask; nothing to weaken"
            raise CorpusError(f"corpus '{self.corpus.info.name}': {fault}")
        return names

    def write(self, layer: LayerWriter) -> int:
        from framework.core.rng import generator
        from framework.imaging.resize import resize_mask
        from framework.labelling.weak.simulators import mismatched, weaken

        config, value = self.config, self.corpus.value
        others = mismatched(layer.names, config.mismatch_rate, config.seed)

        def drawn(name: str) -> np.ndarray:
            mask = self.corpus.mask(others.get(name, name))
            assert mask is not None
            fitting = resize_mask(mask, value(name, "height"), value(name, "width"))
            return weaken(fitting, config, generator("weaken", config.seed, name))

        kind = "noisy" if config.kind in ("erode", "dilate") else config.kind
        return layer.write_masks(kind, drawn)
