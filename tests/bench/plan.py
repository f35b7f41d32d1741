"""Step time on 1 to 64 devices and the cost of pseudo-labelling, by formulas, and how far the first one is
from what this machine does with 1 and 2 workers.

    python -m tests.bench.plan [CONFIG] [key.sub=value …]

Trains CONFIG (the phantom's supervised recipe) with one worker and with two for the check; prints the tables
of cluster/README.md. The devices' figures are assumptions, in `GPU`: replace them by your own.
"""

from __future__ import annotations

import math
import statistics
import sys
import tempfile
from dataclasses import dataclass

STEPS, WARM_UP, NIGHT_H = 60, 20, 8
WORKERS = (1, 2, 4, 8, 16, 32, 64)


@dataclass(frozen=True)
class Device:
    """What a device and its network can do; all that is not measured is an assumption."""

    step_s: float
    """Seconds of forward, backward and optimiser for the images of one worker's step."""
    gradient_bytes: float
    bandwidth: float
    """Bytes a second between two workers, of the slowest link."""
    latency_s: float
    """Seconds of one hop between two workers."""
    images_per_s: float
    """That one worker's loader gives."""
    images: int
    """Of one worker's step, all streams."""
    norms: int
    """Normalisation layers: each sums its statistics over all workers, forward and backward."""

    def reduce_s(self, workers: int) -> float:
        """Gradients in a ring, 2 (n - 1) / n of the bytes over the bandwidth; what is small, such as the
        statistics of layers, in trees of 2 log2 n hops."""
        hops = (1 + 2 * self.norms) * 2 * math.log2(workers)
        return 2 * (workers - 1) / workers * self.gradient_bytes / self.bandwidth + hops * self.latency_s

    def seconds(self, workers: int) -> float:
        """A step waits for its data, or computes and then sums: nothing overlaps, so it is an upper bound."""
        return max(self.images / self.images_per_s, self.step_s + self.reduce_s(workers))


GPU = {
    "1.8 M parameters, 24 images of 256 px": Device(4e-3, 7.3e6, 12.5e9, 5e-6, 12_000, 24, 22),
    "24 M parameters, 16 images of 512 px": Device(60e-3, 98e6, 12.5e9, 5e-6, 3_000, 16, 46),
    "90 M parameters, 2 volumes of 128 px": Device(400e-3, 360e6, 12.5e9, 5e-6, 40, 2, 30),
}
"""Figures of a card of the H100's class and 100 Gbit/s between hosts: computed, not measured."""


@dataclass(frozen=True)
class Labeller:
    """A node that pseudo-labels: images a second, and money an hour (spot)."""

    images_per_s: float
    price: float


NODES = {"one GPU (L4 class), 8 cores": Labeller(400, 0.35), "16 cores, no GPU": Labeller(60, 0.25)}
"""Assumptions for pictures of 256 px: computed from an encoder's work, decode included."""


def step_table() -> str:
    lines = ["| seconds a step; images a second | " + " | ".join(map(str, WORKERS)) + " |"]
    lines.append("|---" * (len(WORKERS) + 1) + "|")
    for name, device in GPU.items():
        cells = [f"{device.seconds(n):.3f}; {n * device.images / device.seconds(n):,.0f}" for n in WORKERS]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def labelling_table() -> str:
    """Nodes for a night of `NIGHT_H` hours, the hours that they then take, and money."""
    lines = [
        "| images | node | hours of one node | nodes for a night | hours | money |",
        "|---|---|---|---|---|---|",
    ]
    for images in (1_000_000, 100_000_000):
        for name, node in NODES.items():
            alone = images / node.images_per_s / 3600
            count = math.ceil(alone / NIGHT_H)
            cells = [f"{images:,}", name, f"{alone:,.1f}", str(count), f"{alone / count:.1f}"]
            lines.append(f"| {' | '.join(cells)} | {alone * node.price:,.2f} $ |")
    return "\n".join(lines)


def measured(config: str, overrides: list[str], workers: int, folder: str) -> tuple[float, int]:
    """The median step's seconds, and the bytes of the gradients."""
    from framework.core.artifact import read_record
    from framework.experiments.pipeline.config import load_pipeline
    from framework.experiments.pipeline.run import build_corpus
    from framework.training.config import load_train
    from framework.training.metric_log import read
    from framework.training.run import train

    settings = [f"out={folder}", f"name=plan-{workers}", f"train.steps={STEPS}", f"compute.workers={workers}"]
    given = [*settings, "train.precision=fp32", *overrides]
    build_corpus(load_pipeline(config, given), lambda line: None)
    store = train(load_train(config, given))
    seconds = [record["seconds"] for record in read(store) if "seconds" in record][WARM_UP:-1]
    return statistics.median(seconds), 4 * read_record(store)["counts"]["parameters"]


def norms_of(config: str, overrides: list[str]) -> int:
    from framework.networks.registry import build_network
    from framework.training.config import load_train

    network = build_network(load_train(config, overrides).network, 3, 3, 0, 0)
    return sum("Norm" in type(module).__name__ for module in network.modules())


def check(config: str, overrides: list[str]) -> None:
    """The formula with this machine's own figures, against two workers of half a batch each."""
    from tests.bench.transfer import bandwidth, latency

    with tempfile.TemporaryDirectory() as folder:
        half = [*overrides, "train.batch=4"]
        alone, gradient = measured(config, half, 1, folder)
        both, _ = measured(config, [*overrides, "train.batch=8"], 2, folder)
    device = Device(alone, gradient, bandwidth(), latency(), 1e9, 4, norms_of(config, overrides))
    told = device.seconds(2)
    link = f"{device.bandwidth / 1e9:.1f} GB/s, {1e6 * device.latency_s:.0f} us a hop"
    print(f"{link}, {device.norms} layers with statistics")
    print(f"one worker {alone:.3f} s, two {both:.3f} s a step, by the formula {told:.3f} s")
    print(f"RESULT measured_over_formula={both / told:.2f}")


def main(config: str = "configs/phantom/supervised.yaml", *overrides: str) -> None:
    print(step_table(), labelling_table(), sep="\n\n", end="\n\n")
    check(config, list(overrides))


if __name__ == "__main__":
    main(*sys.argv[1:])
