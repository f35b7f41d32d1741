"""Ranks as threads of this process, for tests of what is summed or gathered over them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import pytest
import torch
import torch.distributed as dist
from torch import Tensor

T = TypeVar("T")


def on_ranks(count: int, work: Callable[[int], T]) -> list[T]:
    """What `work` gives on each of so many ranks, whose collective calls wait for each other."""
    here, parts, together = threading.local(), dict[int, Any](), threading.Barrier(count, timeout=60)

    def all_reduce(tensor: Tensor) -> None:
        parts[here.rank] = tensor.detach().clone()
        together.wait()
        total = torch.stack([parts[rank] for rank in range(count)]).sum(0)
        together.wait()
        tensor.copy_(total)

    def all_gather_object(values: list[Any], value: Any) -> None:
        parts[here.rank] = value
        together.wait()
        values[:] = [parts[rank] for rank in range(count)]
        together.wait()

    def broadcast(tensor: Tensor, source: int) -> None:
        if here.rank == source:
            parts[source] = tensor.clone()
        together.wait()
        tensor.copy_(parts[source])
        together.wait()

    def on_rank(rank: int) -> T:
        here.rank = rank
        try:
            return work(rank)
        except BaseException:
            together.abort()
            raise

    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(count) as pool:
        patch.setattr(dist, "is_initialized", lambda: True)
        patch.setattr(dist, "get_world_size", lambda: count)
        patch.setattr(dist, "get_rank", lambda: here.rank)
        patch.setattr(dist, "all_reduce", all_reduce)
        patch.setattr(dist, "all_gather_object", all_gather_object)
        patch.setattr(dist, "broadcast", broadcast)
        return list(pool.map(on_rank, range(count)))
