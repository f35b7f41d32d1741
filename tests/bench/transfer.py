"""What two processes of this machine can sum in a second, by gloo: bytes, and calls of nothing."""

from __future__ import annotations

import socket
import time
from functools import cache

BYTES, CALLS = 16 * 2**20, 200


@cache
def _measured() -> tuple[float, float]:
    """Seconds of an all-reduce of `BYTES`, and of one of four bytes."""
    import torch.multiprocessing as mp

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    context = mp.get_context("spawn")
    queue = context.Queue()
    others = [context.Process(target=_rank, args=(rank, port, queue), daemon=True) for rank in (0, 1)]
    for each in others:
        each.start()
    times = queue.get(timeout=120)
    for each in others:
        each.join()
    return times


def _rank(rank: int, port: int, queue: object) -> None:
    import torch
    import torch.distributed as dist

    torch.set_num_threads(1)
    dist.init_process_group("gloo", f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    times = []
    for size, calls in ((BYTES // 4, 10), (1, CALLS)):
        tensor = torch.ones(size)
        dist.all_reduce(tensor)
        begun = time.perf_counter()
        for _ in range(calls):
            dist.all_reduce(tensor)
        times.append((time.perf_counter() - begun) / calls)
    if rank == 0:
        queue.put(tuple(times))  # type: ignore[attr-defined]
    dist.barrier()
    dist.destroy_process_group()


def bandwidth() -> float:
    """Bytes a second: two workers send each all bytes once."""
    large, small = _measured()
    return BYTES / (large - small)


def latency() -> float:
    """Seconds of a hop: two for two workers."""
    return _measured()[1] / 2
