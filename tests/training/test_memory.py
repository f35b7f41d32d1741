"""Freed memory stays with the process: the same blocks again cost no page faults. The peak is its own."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource
from framework.training.memory import keep_freed_memory
{call}
for _ in range(3):
    bytearray(b"x") * 40_000_000
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    bytearray(b"x") * 40_000_000
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(call: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", FAULTS.format(call=call)], capture_output=True, text=True, check=True
    )
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the settings are glibc's")
def test_blocks_are_used_again_instead_of_fetched_from_the_system() -> None:
    assert faults("keep_freed_memory()") < faults("") / 4


PEAK = """
from framework.training.memory import peak_memory_mb
before = peak_memory_mb()
ballast = b'x' * (80 * 2**20)
del ballast
print(before, peak_memory_mb())
"""


@pytest.mark.skipif(platform.system() != "Linux", reason="elsewhere a process may inherit its parent's peak")
def test_the_peak_is_the_processs_own_and_outlives_what_is_freed() -> None:
    ballast = b"x" * (400 * 2**20)
    done = subprocess.run([sys.executable, "-c", PEAK], capture_output=True, text=True, check=True)
    before, after = map(float, done.stdout.split())
    assert len(ballast) / 2**20 > after > before + 75
