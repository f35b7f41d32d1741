"""The same run with one and with two Ray Train workers: how far the losses of the first 50 steps lie apart.

    python -m tests.bench.workers CONFIG [key.sub=value …]

Prints the largest relative difference as its last line. Runs in float32, where the order of sums is all that differs.
"""

from __future__ import annotations

import sys
import tempfile

STEPS = 50


def main(config: str, overrides: list[str]) -> None:
    from framework.config import load_run
    from framework.training.metric_log import read
    from framework.training.run import train

    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for workers in (1, 2):
            fixed = [f"out={folder}", f"name=workers-{workers}", f"compute.workers={workers}", f"train.steps={STEPS}"]
            store = train(load_run(config, [*overrides, *fixed, "train.precision=fp32"]))
            found[workers] = [record["loss"] for record in read(store) if "loss" in record]
    pairs = list(zip(found[1], found[2], strict=True))
    for step in (1, 10, 25, 50):
        print(f"step {step}: {pairs[step - 1][0]:.7f} with 1 worker, {pairs[step - 1][1]:.7f} with 2")
    print(f"RESULT largest_relative_difference={max(abs(a - b) / abs(a) for a, b in pairs):.2e}")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
