"""What DII's indicators cost: the share of training time at the default interval, and one forward-mode pass
against a loop.

    python -m tests.bench.dii [--weak 1170]

One update visits every weak and strong image once. 1,170 weak images of 96 px are ACDC with a tenth of its
patients labelled.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from framework.training.config import TrainConfig

STEPS = 12


def main(weak: int) -> None:
    import torch

    from framework.methods.dcr.indicators import IndicatorConfig

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        trainer = _trainer(Path(folder), weak)
        batches = [trainer.to_device(trainer.loader.batch_at(step)) for step in range(STEPS)]
        step = statistics.median(_seconds(lambda batch=batch: trainer.train_step(batch)) for batch in batches)
        due = IndicatorConfig().start - 1
        update = min(
            _seconds(lambda: trainer.method.after_step(due, trainer.read)) for _ in range(2)
        )  # the first one decodes
        speedup = _speedup(trainer)
    interval = IndicatorConfig().interval
    images = {name: len(sampler.ids) for name, sampler in trainer.loader.samplers.items()}
    print(f"step {step:.3f} s, update {update:.2f} s over {images}, default interval {interval} steps")
    print(f"RESULT dii_percent={100 * update / (update + interval * step):.2f} speedup={speedup:.2f}")


def _trainer(folder: Path, weak: int) -> Any:
    """DCR at ACDC's size, on drawn pictures with boxes."""
    from framework.core.config_files import parse
    from tests.contract.support import build, build_phantom

    corpus = build_phantom(folder / "corpus", round(weak / 0.9 / 0.7), 96)
    run = {
        "name": "dii",
        "out": str(folder),
        "corpus": {"path": corpus, "layers": ["box"], "budget": {"share": 0.1}},
        "method": {"name": "dcr", "indicators": {}},
        "train": {"steps": 800},
        "compute": {"workers": 0},
    }
    return build(parse(run, TrainConfig))


def _speedup(trainer: Any) -> float:
    """Influences of 16 images over all parameters: one forward-mode pass against a backward pass for each."""
    import torch

    from framework.methods.dcr.influence import SCOPES, summed_cross_entropy

    scope, network = SCOPES["all"], trainer.method.first.eval()
    part = next(trainer.read("weak"))
    image, mask = part.image[:16], part.mask[:16]
    direction = torch.randn(scope.size(network))

    def loop() -> None:
        for i in range(len(image)):
            torch.dot(
                scope.gradient(network, image[i : i + 1], mask[i : i + 1], summed_cross_entropy), direction
            )

    at_once = [_seconds(lambda: scope.influence(network, image, mask, direction)) for _ in range(5)]
    return statistics.median(_seconds(loop) for _ in range(5)) / statistics.median(at_once)


def _seconds(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--weak", type=int, default=1170)
    main(parser.parse_args().weak)
