"""Seconds of a training step of CPS at 96 px, batch 8 + 8, one process, two threads, on two networks of 1.8 M
parameters.

    python -m tests.bench.cps [--corpus PATH]

SSL4MIS's own code needs 1.14 s for this step with its U-Net of 1.81 M parameters, whose first level works
at full resolution. Our step, which also predicts the weak views of the unlabelled images without a graph,
is timed with our U-Net at full resolution, and at half resolution as in our recipes, both as large.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from framework.training.config import TrainConfig

STEPS, SKIPPED = 40, 10
NETWORKS = {
    "full": {"stride": 1, "widths": [16, 32, 64, 128, 200]},
    "half": {"stride": 2, "widths": [16, 32, 64, 128, 200]},
}
PEER_SECONDS = 1.14


def main(corpus: str | None) -> None:
    from framework.training.memory import keep_freed_memory

    keep_freed_memory()
    torch.set_num_threads(2)
    with tempfile.TemporaryDirectory() as folder:
        corpus = corpus or _phantom(folder)
        timed = {name: _seconds(_trainer(corpus, folder, name)) for name in NETWORKS}
    for name, (seconds, parameters) in timed.items():
        print(
            f"first level at {name} resolution, {parameters / 2e6:.2f} M parameters a network: "
            f"{seconds:.3f} s a step"
        )
    share = timed["full"][0] / PEER_SECONDS
    print(
        f"RESULT seconds_full={timed['full'][0]:.3f} seconds_half={timed['half'][0]:.3f} "
        f"full_over_peer={share:.2f}"
    )


def _phantom(folder: str) -> str:
    from tests.contract.support import build_phantom

    return build_phantom(Path(folder) / "corpus", 200, 96)


def _trainer(corpus: str, folder: str, resolution: str) -> Any:
    """A run as users have it."""
    from framework.core.config_files import parse
    from tests.contract.support import build

    run = {
        "name": resolution,
        "out": folder,
        "corpus": {"path": corpus, "size": 96, "budget": {"share": 0.2}},
        "augment": {"rotate": 20, "scale": 0.15, "gain": 0.2},
        "network": NETWORKS[resolution],
        "method": {"name": "cps"},
        "train": {"steps": STEPS, "batch": 8, "precision": "bf16"},
        "compute": {"workers": 0},
    }
    return build(parse(run, TrainConfig))


def _seconds(trainer: Any) -> tuple[float, int]:
    """Median of the steps of the run, its loader and placement included, and its networks' parameters."""
    seconds = []
    batches = trainer.loader.run(0, STEPS)
    for _ in range(STEPS):
        begin = time.perf_counter()
        trainer.train_step(trainer.to_device(next(batches)))
        trainer.step += 1
        seconds.append(time.perf_counter() - begin)
    batches.close()
    return statistics.median(seconds[SKIPPED:]), sum(p.numel() for p in trainer.method.networks.parameters())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--corpus")
    main(parser.parse_args().corpus)
