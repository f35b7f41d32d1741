"""The random walk over a corpus: maps, carried up to boundaries that IRNet finds (methods/README 2.5)."""

from __future__ import annotations

from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from pydantic import Field

from framework.core.errors import ConfigError
from framework.labelling.job import Job, Source, StreamConfig

if TYPE_CHECKING:
    from framework.corpus.layer_writer import LayerWriter


class RandomWalk(Job):
    """Carry maps of evidence up to the boundaries that IRNet finds; of all images that have maps."""

    class Config(StreamConfig):
        """How far evidence goes; the authors' settings."""

        radius: int = Field(default=5, ge=2)
        """Neighbours nearer than this exchange evidence in a step, pixels of the map."""
        beta: float = Field(default=10.0, gt=0)
        """Power of the affinities: the larger, the more a faint boundary holds back."""
        doublings: int = Field(default=8, ge=0)
        """The walk has two to the power of this many steps."""

    name = "random-walk"
    artifact = "walk"
    kind = "map layer"
    reads = {
        "model": Source("Folder of a finished model of method irnet.", "boundaries"),
        "maps": Source("Name of the layer of maps to read.", "maps"),
    }

    @cached_property
    def class_ids(self) -> list[int]:
        """The classes that any image has a map of."""
        return sorted(set().union(*self.maps.classes.values()))

    def rows(self) -> list[str]:
        from framework.methods.base import FindsBoundaries
        from framework.methods.irnet.heads import cells

        run, radius = self.model.run, self.config.radius
        if not issubclass(self.model.method, FindsBoundaries):
            fault = f"a model of method '{run.method.name}' finds no boundaries"
            raise ConfigError(f"{self.model.store.url}: {fault}; train method 'irnet'")
        side = cells(run.corpus.size)
        if radius >= side:
            fault = f"neighbours within {radius} reach across the whole map, {side} a side"
            mend = "lower it, or give boundaries that were trained on larger pictures"
            raise ConfigError(f"radius: {fault} for {run.corpus.size} pixels; {mend}")
        return list(self.maps.classes)

    def write(self, layer: LayerWriter) -> int:
        from framework.corpus.map_layers import MAP_ROW, MapsRow
        from framework.labelling.stream import Pass, stream
        from framework.labelling.walk.walk import Carry, walk

        config, places = self.config, (self.model.store.url, self.corpus.store.url, self.maps.store.url)
        carry = partial(walk, radius=config.radius, beta=config.beta, doublings=config.doublings)
        arguments, row = (*places, self.class_ids, carry), MapsRow(self.class_ids)
        work = Pass(self.model.run.corpus.size, Carry, arguments, row, MAP_ROW)
        return stream(work, self.corpus, layer, config)

    def counts(self, layer: LayerWriter) -> dict[str, Any]:
        """What was counted of the maps is true of those after the walk."""
        return {what: count for what, count in self.maps.artifact["counts"].items() if what != "rows"}
