"""Cut pseudo masks out of maps: the cheap last step, which another threshold repeats without any training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from pydantic import Field, model_validator

from framework.core.errors import CorpusError
from framework.labelling.job import Job, JobConfig, Source, Split

if TYPE_CHECKING:
    from framework.corpus.layer_writer import LayerWriter


class Masks(Job):
    """Cut pseudo masks out of maps; images without any class become background."""

    class Config(JobConfig):
        """How masks are cut out of maps."""

        threshold: float = Field(default=0.3, ge=0, le=1)
        """A pixel is of its strongest class when that exceeds this."""
        background: float | None = Field(default=None, ge=0, le=1)
        """What no class exceeds is background; between the two nothing is claimed (none: all else is it)."""
        max_components: int | None = Field(default=None, ge=1)
        """An image of a class in more connected parts has no mask: scattered evidence is seldom right."""
        splits: list[Split] = Field(default=["train"], min_length=1)
        """Splits whose images are cut."""

        @model_validator(mode="after")
        def _in_order(self) -> Self:
            if self.background is not None and self.background > self.threshold:
                fault = f"background {self.background} is over threshold {self.threshold}"
                raise ValueError(f"{fault}; masks need it below")
            return self

    name = "masks"
    artifact = "pseudo"
    measured = True
    reads = {"maps": Source("Name of the layer of maps to read.", "walk")}

    def rows(self) -> list[str]:
        known, splits = self.maps.classes, self.config.splits
        names = [name for split in splits for name in self.corpus.ids(split) if name in known]
        if not names:
            layer = f"map layer '{self.maps.store.name}'"
            raise CorpusError(f"{layer} knows no image of {', '.join(splits)}; make it with those splits")
        return names

    def write(self, layer: LayerWriter) -> int:
        return layer.write_masks("pseudo", self._mask)

    def _mask(self, name: str) -> Any:
        from framework.labelling.cutting import cut

        shape, config = (self.corpus.value(name, "height"), self.corpus.value(name, "width")), self.config
        return cut(self.maps.maps(name), shape, config.threshold, config.background, config.max_components)

    def counts(self, layer: LayerWriter) -> dict[str, Any]:
        """An image whose maps stay below the threshold, or in too many parts, has no label."""
        classes, known, (labelled, unlabelled) = self.corpus.info.classes, self.maps.classes, layer.labelled()
        pixels = zip(classes, layer.pixels("kept_pixels", len(classes)), strict=True)
        return {
            "rows": labelled,
            "of them background alone": sum(not known[name] for name in layer.names),
            "without a mask that is clear enough": unlabelled,
            "classes": {name: {"predicted": count, "kept": count} for name, count in pixels},
        }
