"""What an image-level label says: its values, grouped into the classes that a network tells apart."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import ConfigDict
from torch import Tensor

from framework.core.errors import ConfigError, nearest
from framework.core.settings import ORDERED, Settings
from framework.corpus.schema import LabelInfo

UNKNOWN = -1
"""Class of an image whose label is not known, or of a value that no class takes in."""


class TargetConfig(Settings):
    """What an image is classified by: classes of the values of one of the corpus's labels."""

    model_config = ConfigDict(coerce_numbers_to_str=True)
    label: str
    """Name of the image-level label."""
    classes: Annotated[dict[str, list[str]] | None, ORDERED] = None
    """Name of each class, in order, and the label's values that it takes in; None: each value is a class."""


@dataclass(frozen=True)
class Target:
    """A question, resolved for one corpus."""

    name: str
    column: int
    """Place of its label among those of the corpus."""
    classes: tuple[str, ...]
    class_of: tuple[int, ...]
    """Class of each value of the label; `UNKNOWN` where none takes it in."""
    where: str
    """Its key in the configuration, for messages."""

    def of(self, labels: Tensor) -> Tensor:
        """Classes `[B]` of the labels `[B, L]` of images."""
        table = torch.tensor([*self.class_of, UNKNOWN], device=labels.device)
        return table[labels[:, self.column]]  # an unknown value, -1, takes the last entry

    def of_one(self, labels: Sequence[int]) -> int:
        """The class of one image's labels."""
        return (*self.class_of, UNKNOWN)[labels[self.column]]


def resolve(name: str, config: TargetConfig, labels: Sequence[LabelInfo], where: str) -> Target:
    """The target of a description at a key `where`; raises `ConfigError` for unknown labels and values."""
    known = [label.name for label in labels]
    if config.label not in known:
        none = "; it has none: labels are columns of labels.csv with whole numbers from 0, or few words"
        has = nearest(config.label, known) if known else none
        raise ConfigError(f"{where}.label: the corpus has no image label '{config.label}'{has}")
    column = known.index(config.label)
    values = labels[column].values
    classes = config.classes or {value: [value] for value in values}
    if len(classes) < 2:
        fault = f"{len(classes)} class; there is nothing to tell apart with fewer than two"
        raise ConfigError(f"{where}.classes: {fault}")
    place = dict.fromkeys(values, UNKNOWN)
    for number, (name_of_class, members) in enumerate(classes.items()):
        for value in members:
            if value not in place:
                fault = f"label '{config.label}' has no value '{value}'{nearest(value, values)}"
                raise ConfigError(f"{where}.classes.{name_of_class}: {fault}")
            if place[value] != UNKNOWN:
                raise ConfigError(f"{where}.classes: value '{value}' is in two classes; it can be in one")
            place[value] = number
    return Target(name, column, tuple(classes), tuple(place.values()), where)
