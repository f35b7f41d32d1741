"""The random walk step by step against the official way, which squares the dense matrix: `python -m tests.bench.walk`.

Prints how many times faster an image of 64 x 64 goes through 256 steps, one class, one thread.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from framework.inference.walk import WalkConfig, transitions, walk

SIDE = 64
CONFIG = WalkConfig()


def dense_walk(maps: Tensor, boundary: Tensor) -> Tensor:
    """The same walk with T as a matrix `[N, N]`, squared `doublings` times; one image."""
    pixels = SIDE * SIDE
    stay, taken = transitions(boundary, CONFIG)
    matrix = torch.diag(stay.flatten())
    place = torch.arange(pixels).view(SIDE, SIDE)
    for (y, x), weight in taken.items():
        inside = (slice(max(0, -y), SIDE - max(0, y)), slice(max(0, -x), SIDE - max(0, x)))
        here = place[inside].flatten()
        matrix[here + y * SIDE + x, here] = weight[0][inside].flatten()
    for _ in range(CONFIG.doublings):
        matrix = matrix @ matrix
    return ((maps * (1 - boundary)[:, None]).flatten(2) @ matrix).view_as(maps)


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    maps, boundary = torch.rand(1, 1, SIDE, SIDE), torch.rand(1, SIDE, SIDE) ** 4
    dense, expected = timed(lambda: dense_walk(maps, boundary))  # once: it takes a minute
    found = [timed(lambda: walk(maps, boundary, CONFIG)) for _ in range(9)]
    ours, apart = statistics.median(seconds for seconds, _ in found), (found[0][1] - expected).abs().max()
    print(f"{SIDE} x {SIDE}, {2**CONFIG.doublings} steps: {ours:.3f} s, dense {dense:.1f} s, at most {apart:.1e} apart")
    print(f"RESULT walk_speedup={dense / ours:.0f}")


def timed(call: Callable[[], Tensor]) -> tuple[float, Tensor]:
    """Seconds of a call, and what it gave."""
    begin = time.perf_counter()
    found = call()
    return time.perf_counter() - begin, found


if __name__ == "__main__":
    main()
