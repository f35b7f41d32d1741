"""What a search may change: a distribution by dotted key of a run, checked against its configuration."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, Field, PositiveFloat

from framework.core.config_files import known_keys, merge, parse
from framework.core.errors import ConfigError, nearest
from framework.core.settings import Settings, placements
from framework.training.config import TrainConfig

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

DIGITS = 4  # of a drawn real number: what the table shows is what was trained with


def _rising(ends: tuple[Any, Any]) -> tuple[Any, Any]:
    if ends[0] >= ends[1]:
        raise ValueError("the lower end comes first")
    return ends


class Distribution(Settings):
    """One of four kinds, such as `{uniform: [0.5, 1.2]}`; both ends belong to a range."""

    choice: list[Any] | None = Field(None, min_length=1)
    """Any values that YAML can hold, with equal chances."""
    uniform: Annotated[tuple[float, float], AfterValidator(_rising)] | None = None
    loguniform: Annotated[tuple[PositiveFloat, PositiveFloat], AfterValidator(_rising)] | None = None
    """The logarithm is uniform."""
    randint: Annotated[tuple[int, int], AfterValidator(_rising)] | None = None

    def optuna(self) -> BaseDistribution:
        """What Optuna draws from. A choice is the number of its entry: Optuna's own may only be scalars."""
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        if self.choice is not None:
            return CategoricalDistribution(range(len(self.choice)))
        if self.randint is not None:
            return IntDistribution(*self.randint)
        return FloatDistribution(*self._reals(), log=self.loguniform is not None)

    def value(self, drawn: Any) -> Any:
        """The value that Optuna's draw stands for."""
        if self.choice is not None:
            return self.choice[drawn]
        if self.randint is not None:
            return drawn
        low, high = self._reals()
        return min(max(float(f"{drawn:.{DIGITS}g}"), low), high)

    def drawn(self, value: Any) -> Any:
        """The draw that stands for a value."""
        return value if self.choice is None else self.choice.index(value)

    def probes(self) -> list[Any]:
        """Values that are good if every draw is: choices, or ends and a point between that is not whole."""
        if ends := self.choice or self.randint:
            return list(ends)
        low, high = self._reals()
        return [low, low + 0.382 * (high - low), high]

    def _reals(self) -> tuple[float, float]:
        ends = self.uniform or self.loguniform
        assert ends is not None, "parse_space lets no empty distribution through"
        return ends


Space = dict[str, Distribution]


def parse_space(value: Any, where: str) -> Space:
    """Read `{method.kappa: {uniform: [0.5, 1.2]}, …}`; raises a one-line `ConfigError`."""
    if not isinstance(value, dict) or not value:
        raise ConfigError(f"{where}: 'space' maps dotted keys of the run to distributions; give at least one")
    return {str(key): _distribution(described, f"{where}: space '{key}'") for key, described in value.items()}


def _distribution(value: Any, where: str) -> Distribution:
    if not isinstance(value, dict) or len(value) != 1:
        kinds = ", ".join(Distribution.model_fields)
        raise ConfigError(f"{where} wants exactly one of {kinds}, such as {{uniform: [0.5, 1.2]}}")
    return parse(value, Distribution, where)


def check_space(run: TrainConfig, space: Space, where: str) -> None:
    """Put ends and choices into the run; raises a one-line `ConfigError` for the first that does not fit."""
    keys, outside = set(known_keys(type(run))), set(placements(type(run)))
    for key, distribution in space.items():
        if key not in keys:
            section = key.rpartition(".")[0]  # a list of all keys would help nobody
            beside = {known for known in keys if known.rpartition(".")[0] == section}
            raise ConfigError(f"{where}: space: unknown key '{key}'{nearest(key, beside or keys)}")
        if any(key == place or key.startswith(f"{place}.") for place in outside):  # trials would be equal
            fault = f"'{key}' is nothing to compare trials by"
            raise ConfigError(f"{where}: space: {fault}; search settings of what is trained")
        for value in distribution.probes():
            with_values(run, {key: value}, f"{where}: space")


def with_values(run: TrainConfig, values: dict[str, Any], where: str) -> TrainConfig:
    """The run with values put in by dotted key; raises `ConfigError` when one does not fit."""
    changed = run.model_dump()
    for key, value in values.items():
        nested: Any = copy.deepcopy(value)
        for part in reversed(key.split(".")):
            nested = {part: nested}
        merge(changed, nested)
    return parse(changed, type(run), where)
