"""Confident seeds from maps of evidence: what IRNet learns from (methods/README 2.4)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Self

from pydantic import Field, model_validator

from framework.core.errors import CorpusError
from framework.labelling.job import Job, Source, StreamConfig
from framework.labelling.seeds.config import CrfConfig

if TYPE_CHECKING:
    from framework.corpus.layer_writer import LayerWriter


class Seeds(Job):
    """Keep what maps of training images are sure of, as labels that IRNet learns from."""

    class Config(StreamConfig):
        """How confident seeds are made from maps of evidence."""

        size: int = Field(default=96, ge=16, le=160)
        """Pixels a side of the picture on which they are found; IRNet reads them on a coarser grid."""
        foreground: float = Field(default=0.3, ge=0, le=1)
        """What exceeds this and the other classes is surely its class."""
        background: float = Field(default=0.05, ge=0, le=1)
        """What no class exceeds is surely background; between the two nothing is claimed."""
        crf: CrfConfig | None = CrfConfig()
        """Fits both to the picture; none: the thresholds alone."""

        @model_validator(mode="after")
        def _in_order(self) -> Self:
            if self.background > self.foreground:
                fault = f"background {self.background} is over foreground {self.foreground}"
                raise ValueError(f"{fault}; seeds need it below")
            return self

    name = "seeds"
    artifact = "seeds"
    reads = {"maps": Source("Name of the layer of maps to read.", "maps")}

    def rows(self) -> list[str]:
        known = self.maps.classes
        names = [name for name in self.corpus.ids("train") if known.get(name)]
        if not names:
            fault = f"map layer '{self.maps.store.name}': no training image has a map"
            raise CorpusError(f"{fault}; make it with --split train")
        return names

    def write(self, layer: LayerWriter) -> int:
        from framework.corpus.label_layers import LAYER_ROW
        from framework.labelling.seeds.seed import Seed, seed_row, seeds
        from framework.labelling.stream import Pass, stream

        config = self.config
        find = partial(seeds, foreground=config.foreground, background=config.background, crf=config.crf)
        arguments = (self.corpus.store.url, self.maps.store.url, find, bool(config.gpu))
        work = Pass(config.size, Seed, arguments, seed_row, LAYER_ROW)
        return stream(work, self.corpus, layer, config)

    def counts(self, layer: LayerWriter) -> dict[str, Any]:
        """An image that no class is sure in has no label; raises `CorpusError` where none has a seed."""
        labelled, unlabelled = layer.labelled()
        if not labelled:
            mend = f"lower the foreground threshold, {self.config.foreground}"
            raise CorpusError(f"{layer.out.url}: no image has a seed of any class; {mend}")
        return {"rows": labelled, "without any seed": unlabelled}
