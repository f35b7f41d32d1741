"""Initialisation that depends on its seed alone, and leaves the process's own random numbers as they were."""

import contextlib
from collections.abc import Iterator

import torch

from framework.core.rng import stable_seed


@contextlib.contextmanager
def seeded(*parts: object) -> Iterator[None]:
    """Layers that are built in the block are the same for the same parts, on all ranks."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stable_seed(*parts) % 2**63)
        yield
