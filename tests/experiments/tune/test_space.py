from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framework.core.config_files import parse
from framework.core.errors import ConfigError
from framework.experiments.pipeline.config import PipelineConfig
from framework.experiments.tune.space import Distribution, check_space, parse_space, with_values
from framework.training.config import TrainConfig

RUN = parse({"name": "r", "corpus": {"path": "corpora/none"}, "method": {"name": "coda"}}, PipelineConfig)


def check(space: dict, run: TrainConfig = RUN) -> None:
    check_space(run, parse_space(space, "s.yaml"), "s.yaml")


@pytest.mark.parametrize(
    "space",
    [
        {"method.kappa": {"uniform": [0, 2]}},
        {"optimiser.lr": {"loguniform": [1e-4, 1e-1]}},
        {"train.batch": {"randint": [1, 16]}},
        {"train.ema": {"choice": [0, 0.9, 0.99]}},
        {"method.alignment": {"choice": ["off", "per_class"]}},
        {"network.widths": {"choice": [[8, 16], [16, 32, 64]]}},
        {"method": {"choice": [{"name": "cps"}, {"name": "coda", "kappa": 0.8}]}},
    ],
)
def test_a_space_that_fits_passes(space: dict) -> None:
    check(space)


@pytest.mark.parametrize(
    ("space", "said"),
    [
        ({"method.kapa": {"uniform": [0, 1]}}, "unknown key 'method.kapa'; did you mean 'method.kappa'?"),
        ({"optimizer.lr": {"uniform": [0.1, 1]}}, "unknown key 'optimizer.lr'; did you mean 'optimiser.lr'?"),
        (
            {"method.momentum": {"uniform": [0.9, 1.0]}},
            "'method.momentum' is 1.0: input should be less than 1",
        ),
        (
            {"method.kappa": {"uniform": [-1, 1]}},
            "'method.kappa' is -1.0: input should be greater than or equal to 0",
        ),
        ({"method.kappa": {"choice": [0.5, "much"]}}, "'method.kappa' is 'much'"),
        ({"train.steps": {"uniform": [100, 200]}}, "'train.steps' is 138.2"),
        ({"compute.workers": {"randint": [1, 4]}}, "'compute.workers' is nothing to compare trials by"),
        ({"corpus.path": {"choice": ["a", "b"]}}, "'corpus.path' is nothing to compare trials by"),
    ],
)
def test_a_value_that_does_not_fit_is_told_by_its_key(space: dict, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check(space)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_key_of_another_method_is_refused() -> None:
    run = parse({"name": "r", "corpus": {"path": "corpora/none"}, "method": {"name": "cps"}}, PipelineConfig)
    with pytest.raises(ConfigError, match=r"unknown key 'method\.kappa'"):
        check({"method.kappa": {"uniform": [0, 1]}}, run)


@pytest.mark.parametrize(
    ("distribution", "said"),
    [
        ({"unifrom": [0, 1]}, "did you mean 'uniform'"),
        ({"uniform": [1, 0]}, "the lower end comes first"),
        ({"uniform": [0]}, "uniform"),
        ({"loguniform": [0, 1]}, "greater than 0"),
        ({"randint": [0.5, 2]}, "integer"),
        ({"choice": []}, "at least 1"),
        ({}, "exactly one of choice, uniform, loguniform, randint"),
        ({"uniform": [0, 1], "choice": [1]}, "exactly one of"),
        ([0, 1], "exactly one of"),
    ],
)
def test_a_wrong_distribution_is_told_with_its_key(distribution: object, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_space({"method.kappa": distribution}, "s.yaml")
    assert "space 'method.kappa'" in str(caught.value)
    assert said in str(caught.value)


def test_an_empty_space_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least one"):
        parse_space({}, "s.yaml")


@given(
    st.floats(1e-6, 1e6), st.floats(1.001, 1e3), st.floats(0, 1), st.sampled_from(["uniform", "loguniform"])
)
def test_a_drawn_number_is_short_and_stays_in_its_range(
    low: float, factor: float, share: float, kind: str
) -> None:
    high = low * factor
    distribution = Distribution.model_validate({kind: [low, high]})
    value = distribution.value(low + share * (high - low))
    assert low <= value <= high
    assert value in (low, high) or value == float(f"{value:.4g}")


@pytest.mark.parametrize(
    "stored",
    [{"choice": [[1], None, "a"]}, {"uniform": [0, 1]}, {"loguniform": [1e-3, 1]}, {"randint": [2, 3]}],
)
def test_draws_of_optuna_become_values_and_back(stored: dict) -> None:
    import optuna

    distribution = Distribution.model_validate(stored)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(20):
        value = distribution.value(study.ask({"x": distribution.optuna()}).params["x"])
        assert distribution.value(distribution.drawn(value)) == value


def test_values_are_laid_over_the_run_and_leave_it_alone() -> None:
    changed = with_values(RUN, {"method.kappa": 0.5, "train.steps": 7}, "trial")
    assert changed.model_dump()["method"]["kappa"] == 0.5
    assert changed.train.steps == 7
    assert RUN.model_dump()["method"]["kappa"] == 1.0
