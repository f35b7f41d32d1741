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


def seconds(call: Callable[[], Tensor], times: int) -> float:
    """Median over some calls, after one that is not counted."""
    call()
    found = []
    for _ in range(times):
        begin = time.perf_counter()
        call()
        found.append(time.perf_counter() - begin)
    return statistics.median(found)


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    maps, boundary = torch.rand(1, 1, SIDE, SIDE), torch.rand(1, SIDE, SIDE) ** 4
    difference = (walk(maps, boundary, CONFIG) - dense_walk(maps, boundary)).abs().max()
    ours, dense = seconds(lambda: walk(maps, boundary, CONFIG), 9), seconds(lambda: dense_walk(maps, boundary), 3)
    print(f"{SIDE} x {SIDE}, {2**CONFIG.doublings} steps: {ours:.3f} s, dense {dense:.1f} s, {difference:.1e} apart at most")
    print(f"RESULT walk_speedup={dense / ours:.0f}")


if __name__ == "__main__":
    main()
