"""Runs tests against mutants, each in a copy of the tree that is mended afterwards."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from tempfile import TemporaryDirectory
from typing import Any

from tests.mutants.mutant import ROOT, Mutant

LIMIT = 300.0
"""Seconds after which tests hang, which kills a mutant too."""
PASSED, FAILED, BROKEN = 0, 1, 2
"""What pytest ends with; `BROKEN` where a file of tests cannot even be imported."""
SAID = "said.txt"
"""What pytest wrote, in a copy."""
HEAVY = [
    "torch",
    "pytest",
    "hypothesis",
    "monai.metrics",
    "sklearn.metrics",
    "scipy.ndimage",
    "pyarrow.parquet",
]
"""Imported once, in the process that all tests are forked from: they else take most of the time."""


@dataclass(frozen=True)
class Outcome:
    """What became of a mutant."""

    mutant: Mutant
    word: str
    """"killed", "hangs" (killed as well), "breaks" (so too, at an import) or "survived"."""
    seconds: float

    @property
    def survived(self) -> bool:
        return self.word == "survived"


def run(mutants: Sequence[Mutant], jobs: int, log: Callable[[Outcome], None]) -> list[Outcome]:
    """Test all mutants, some at a time; `log` hears of each as it ends."""
    with TemporaryDirectory(prefix="mutants-") as folder, ThreadPoolExecutor(jobs) as pool:
        copies: SimpleQueue[Path] = SimpleQueue()
        for place in range(jobs):
            copies.put(copied(Path(folder) / str(place)))

        def tested(mutant: Mutant) -> Outcome:
            copy = copies.get()
            try:
                outcome = _tested(mutant, copy)
            finally:
                copies.put(copy)
            log(outcome)
            return outcome

        return list(pool.map(tested, mutants))


def healthy(mutants: Sequence[Mutant]) -> str:
    """Run the tests of all mutants without any fault; what pytest says where some fail, else ""."""
    tests = sorted({test for mutant in mutants for test in mutant.tests})
    whole = {test for test in tests if "::" not in test}
    chosen = [test for test in tests if test in whole or test.partition("::")[0] not in whole]
    with TemporaryDirectory(prefix="mutants-") as folder:
        copy = copied(Path(folder))
        return "" if _pytest(copy, chosen, limit=None) == PASSED else (copy / SAID).read_text()


def copied(folder: Path) -> Path:
    """A copy of the files that git knows, as they are in the working tree."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    return folder


def _tested(mutant: Mutant, copy: Path) -> Outcome:
    begun = time.perf_counter()
    with _applied(mutant, copy):
        code = _pytest(copy, ["-x", *mutant.tests], LIMIT)
    words = {None: "hangs", PASSED: "survived", FAILED: "killed", BROKEN: "breaks"}
    assert code in words, f"{mutant.breaks}: pytest ended with {code}: {(copy / SAID).read_text()}"
    return Outcome(mutant, words[code], time.perf_counter() - begun)


@contextlib.contextmanager
def _applied(mutant: Mutant, copy: Path) -> Iterator[None]:
    path = copy / mutant.file
    whole = path.read_text()
    mutant.apply(copy)
    try:
        yield
    finally:
        path.write_text(whole)


def _pytest(copy: Path, words: Sequence[str], limit: float | None) -> int | None:
    """Run pytest in a copy; the code that it ends with, None where it does not end."""
    process = _forks().Process(target=_in_copy, args=(str(copy), list(words)))
    process.start()
    process.join(limit)
    hangs = process.is_alive()
    with contextlib.suppress(ProcessLookupError):  # what they started ends with them
        os.killpg(process.pid, signal.SIGKILL)
    process.join()
    return None if hangs else process.exitcode


def _forks() -> Any:
    forks = multiprocessing.get_context("forkserver")
    forks.set_forkserver_preload(HEAVY)
    return forks


def _in_copy(copy: str, words: list[str]) -> None:
    """In a process of its own: pytest, which knows the copy alone."""
    os.setsid()
    import pytest

    os.chdir(copy)
    os.environ |= {"PYTHONPATH": copy, "OMP_NUM_THREADS": "1"}
    sys.path[:] = [copy, *(path for path in sys.path if path not in ("", str(ROOT)))]
    for name in [name for name in sys.modules if name.partition(".")[0] == "tests"]:
        del sys.modules[name]
    with open(SAID, "w") as said:
        os.dup2(said.fileno(), 1)
        os.dup2(said.fileno(), 2)
    sys.exit(int(pytest.main(["-q", *words])))
