"""The random walk step by step, one class, 256 steps, one thread: `python -m tests.bench.walk`.

Prints how many times faster than the official way, which squares the dense matrix, a map of 64 x 64 goes
through; and how long a map of 128 x 128 takes relative to what comes before it, IRNet's forward pass over
the picture of 512 x 512 (ResNet-50, the picture and its mirror image).
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from framework.labelling.walk.walk import transitions, walk
from framework.methods.base import MethodContext
from framework.methods.irnet.method import IRNet
from framework.networks.encoder import EncoderConfig
from framework.networks.registry import build_network

SIDE, GRID = 64, 128
RADIUS, BETA, DOUBLINGS = 5, 10.0, 8


def dense_walk(maps: Tensor, boundary: Tensor) -> Tensor:
    """The same walk with T as a matrix `[N, N]`, squared `doublings` times; one image."""
    pixels = SIDE * SIDE
    stay, taken = transitions(boundary, RADIUS, BETA)
    matrix = torch.diag(stay.flatten())
    place = torch.arange(pixels).view(SIDE, SIDE)
    for (y, x), weight in taken.items():
        inside = (slice(max(0, -y), SIDE - max(0, y)), slice(max(0, -x), SIDE - max(0, x)))
        here = place[inside].flatten()
        matrix[here + y * SIDE + x, here] = weight[0][inside].flatten()
    for _ in range(DOUBLINGS):
        matrix = matrix @ matrix
    return ((maps * (1 - boundary)[:, None]).flatten(2) @ matrix).view_as(maps)


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    maps, boundary = torch.rand(1, 1, SIDE, SIDE), torch.rand(1, SIDE, SIDE) ** 4
    dense, expected = timed(lambda: dense_walk(maps, boundary))  # once: it takes a minute
    runs = [timed(lambda: walk(maps, boundary, RADIUS, BETA, DOUBLINGS)) for _ in range(9)]
    ours, apart = statistics.median(seconds for seconds, _ in runs), (runs[0][1] - expected).abs().max()
    print(
        f"{SIDE} x {SIDE}, {2**DOUBLINGS} steps: {ours:.3f} s, dense {dense:.1f} s, at most {apart:.1e} apart"
    )
    forward, large = forward_and_walk()
    print(f"picture of {4 * GRID}: forward {forward:.2f} s, walk over {GRID} x {GRID} {large:.2f} s")
    print(f"RESULT walk_speedup={dense / ours:.0f} walk_over_forward={large / forward:.2f}")


def forward_and_walk() -> tuple[float, float]:
    """Median seconds of the boundaries of one picture, and of the walk under them, taken in turns."""
    config = EncoderConfig(name="encoder", encoder="resnet50", output_stride=16)
    setting = MethodContext(
        ["background", "lesion"], 1, 0, lambda member: build_network(config, 3, 2, 0, member), 3
    )
    method = IRNet(IRNet.Config(name="irnet"), setting).eval()
    image, maps = torch.randn(1, 3, 4 * GRID, 4 * GRID), torch.rand(1, 1, GRID, GRID)
    forward, walked = [], []
    with torch.no_grad():
        for _ in range(5):
            seconds, boundary = timed(lambda: method.boundaries(image))
            forward.append(seconds)
            walked.append(timed(partial(walk, maps, boundary, RADIUS, BETA, DOUBLINGS))[0])
    return statistics.median(forward), statistics.median(walked)


def timed(call: Callable[[], Tensor]) -> tuple[float, Tensor]:
    """Seconds of a call, and what it gave."""
    begin = time.perf_counter()
    result = call()
    return time.perf_counter() - begin, result


if __name__ == "__main__":
    main()
