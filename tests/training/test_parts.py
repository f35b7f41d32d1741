"""Small parts of the loop: rates, averaged weights, the metric log."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from framework.core.errors import ConfigError
from framework.core.storage import Store
from framework.networks.ema import Ema
from framework.training.metric_log import MetricLog, read
from framework.training.optimise import OptimiserConfig, lr_at
from framework.training.strategies.deepspeed import DeepSpeedStrategy
from framework.training.strategies.registry import build_strategy


def test_rates() -> None:
    assert lr_at(0, 100, OptimiserConfig(lr=0.1)) == pytest.approx(0.1)
    assert lr_at(50, 100, OptimiserConfig(lr=0.1)) == pytest.approx(0.1 * 0.5**0.9)
    assert lr_at(50, 100, OptimiserConfig(lr=0.1, schedule="cosine")) == pytest.approx(0.05)
    assert lr_at(99, 100, OptimiserConfig(lr=0.1, schedule="constant")) == pytest.approx(0.1)
    assert lr_at(4, 100, OptimiserConfig(lr=0.1, schedule="constant", warmup=10)) == pytest.approx(0.05)


def test_averaged_weights_begin_as_a_mean_and_swap_in_and_out() -> None:
    module = nn.Linear(1, 1, bias=False)
    ema = Ema(module, 0.9)
    start = module.weight.item()
    with torch.no_grad():
        module.weight.fill_(start + 2)
    ema.update(0)
    with ema.swapped_in():
        assert module.weight.item() == pytest.approx(start + 1)
    assert module.weight.item() == pytest.approx(start + 2)


def test_the_log_appends_and_drops_what_a_restart_repeats(tmp_path: Path) -> None:
    store = Store.at(tmp_path)
    log = MetricLog(store, 0)
    for step in (1, 2, 3):
        log.write({"step": step, "loss": step / 10})
    log.close()
    (tmp_path / "metrics.jsonl").write_text((tmp_path / "metrics.jsonl").read_text() + '{"step": 4, "lo')
    again = MetricLog(store, 2)
    again.write({"step": 3, "loss": 9.0})
    again.close()
    assert [(r["step"], r["loss"]) for r in read(store)] == [(1, 0.1), (2, 0.2), (3, 9.0)]


def test_deepspeed_refuses_double_precision() -> None:
    with pytest.raises(ConfigError, match="fp64 use ddp"):
        build_strategy(DeepSpeedStrategy.Config(name="deepspeed"), torch.device("cpu"), "fp64")
