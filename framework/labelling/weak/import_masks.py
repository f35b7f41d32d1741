"""Lay weak masks that people drew over a corpus: the pictures of a folder become a label layer."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from framework.core.errors import CorpusError, RowError
from framework.core.labels import IGNORE
from framework.core.settings import PLACEMENT
from framework.labelling.job import Job, JobConfig, Source

if TYPE_CHECKING:
    import numpy as np

    from framework.corpus.layer_writer import LayerWriter
    from framework.corpus.sources.listing import Listing, Picture
    from framework.imaging.mask_values import MaskValues


class ImportMasks(Job):
    """Lay weak masks that somebody drew over a corpus.

    Images without a picture are left out; pictures that do not fit, or hold unknown ids, are in quarantine.
    """

    class Config(JobConfig):
        """What the masks are."""

        kind: Literal["box", "polygon", "scribble", "noisy"]
        """What was drawn; noisy is too large or too small."""
        mask_values: str = ""
        """What stands for 0, 1, … in the masks, by commas: 0,255 or '#000000,#ff0000'."""
        error_budget: Annotated[float, PLACEMENT] = Field(default=0.05, ge=0, le=1)
        """Share of unusable rows over which the job gives up."""

    name = "import-masks"
    artifact = "drawn"
    reads = {"folder": Source("Folder of ID.png: class ids, 255 = no claim.", None)}

    @cached_property
    def listing(self) -> Listing:
        from framework.corpus.sources.listing import Listing

        return Listing.of(self.folder)

    @property
    def pictures(self) -> dict[str, Picture]:
        return self.listing.pictures

    @cached_property
    def table(self) -> MaskValues | None:
        from framework.imaging.mask_values import MaskValues

        return MaskValues.parse(self.config.mask_values) if self.config.mask_values else None

    def rows(self) -> list[str]:
        from framework.corpus.sources.mask_survey import require_ids, require_scribbles

        ids = self.corpus.index_columns["id"]
        names = [name for name in ids if name in self.pictures]
        if not names:
            fault = f"no picture of an image of corpus '{self.corpus.info.name}'"
            raise CorpusError(f"{self.folder.url}: {fault}; expected ID.png, such as '{ids[0]}.png'")
        if self.table is None:
            require = require_scribbles if self.config.kind == "scribble" else require_ids
            files = (self.pictures[name].file for name in names)
            masks = ((file, self.folder.read_bytes(file)) for file in files)
            require(self.folder.url, masks, len(self.corpus.info.classes))
        return names

    def write(self, layer: LayerWriter) -> int:
        return layer.write_masks(self.config.kind, self._mask)

    def counts(self, layer: LayerWriter) -> dict[str, Any]:
        strays = len(self.pictures) - len(layer.names)
        counts = {"without a file": len(self.corpus.index_columns["id"]) - len(layer.names)}
        unread = len(self.listing.unread) + len(self.listing.outside)
        told = {"files of no image": strays, "files that are not read": unread}
        return counts | {what: number for what, number in told.items() if number}

    def _mask(self, name: str) -> np.ndarray:
        from framework.imaging.decode import decode_mask

        shape = self.corpus.value(name, "height"), self.corpus.value(name, "width")
        data = self.folder.read_bytes(self.pictures[name].file)
        data = self.table.convert(data, "ids") if self.table else data
        mask = decode_mask(data, shape, len(self.corpus.info.classes), "ids")
        if self.config.kind == "scribble" and (mask != IGNORE).all():
            raise RowError(f"scribble claims every pixel: save what is not drawn as {IGNORE}")
        return mask
