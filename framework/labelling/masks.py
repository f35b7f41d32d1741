"""Cut pseudo masks out of maps: the cheap last step, which another threshold repeats without any training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

from pydantic import Field, model_validator

from framework.core.callbacks import OnProgress
from framework.core.errors import CorpusError
from framework.core.storage import Store
from framework.labelling.job import Job, JobConfig, Source, Split


class Masks(Job):
    """Cut pseudo masks out of maps; images without any class become background."""

    class Config(JobConfig):
        """How masks are cut out of maps."""

        threshold: float = Field(default=0.3, ge=0, le=1)
        """A pixel is of its strongest class when that exceeds this."""
        background: float | None = Field(default=None, ge=0, le=1)
        """What no class exceeds is background, between the two nothing is claimed. None: all else is background."""
        max_components: int | None = Field(default=None, ge=1)
        """An image of a class in more connected parts has no mask: evidence that is scattered is seldom right."""
        splits: list[Split] = Field(default=["train"], min_length=1)
        """Splits whose images are cut."""

        @model_validator(mode="after")
        def _in_order(self) -> Self:
            if self.background is not None and self.background > self.threshold:
                raise ValueError(
                    f"background {self.background} is over threshold {self.threshold}; masks need it below"
                )
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

    def write(self, names: Sequence[str], out: Store, on_progress: OnProgress) -> int:
        from framework.corpus.layer_writer import write_masks
        from framework.labelling.cutting import cut

        config = self.config

        def mask(name: str) -> Any:
            shape = self.corpus.value(name, "height"), self.corpus.value(name, "width")
            return cut(
                self.maps.maps(name), shape, config.threshold, config.background, config.max_components
            )

        return write_masks(out, "pseudo", names, mask, config.error_budget, on_progress)

    def counts(self, names: Sequence[str], out: Store) -> dict[str, Any]:
        """An image whose maps stay below the threshold, or in too many parts, has no label and is no row."""
        from framework.corpus.layer_writer import pixels_by_class, rows_by_kind
        from framework.corpus.schema import NO_MASK

        kinds, classes, known = rows_by_kind(out), self.corpus.info.classes, self.maps.classes
        pixels = pixels_by_class(out, "kept_pixels", len(classes)).tolist()
        return {
            "rows": kinds["pseudo"],
            "of them background alone": sum(not known[name] for name in names),
            "without a mask that is clear enough": kinds[NO_MASK],
            "classes": {name: {"predicted": n, "kept": n} for name, n in zip(classes, pixels, strict=True)},
        }
