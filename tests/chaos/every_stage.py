"""Kill `scantseg run` hard in one stage after the other, start it again, and compare with a run left alone.

python -m tests.chaos.every_stage CONFIG [key=value ...]
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import yaml

from framework.core.storage import Store
from framework.experiments.pipeline.config import PipelineConfig, load_pipeline

SIGNS = {
    "train": "checkpoints/step-*/checkpoint.json",
    "pseudolabel": "rows-*.parquet",
    "cam": "rows-*.parquet",
    "seeds": "rows-*.parquet",
    "random-walk": "rows-*.parquet",
    "masks": "spec.json",
}
"""By kind of stage, the file that says that it is half-way; masks are written all at once."""


@dataclass(frozen=True)
class Outcome:
    """What became of a stage that a run was killed in."""

    stage: str
    in_time: bool
    """Its artifact was not yet finished."""
    earlier: int
    """Artifacts that were finished before the kill."""
    recognised: bool
    """No file of those was touched later."""
    equal: bool
    """Its artifact holds what that of the run left alone holds."""

    def __str__(self) -> str:
        killed = f"killed in {self.stage}" if self.in_time else f"{self.stage} was over before the kill"
        earlier = f"{self.earlier} finished stages recognised {yes(self.recognised)}"
        return f"{killed}: {earlier}, result equal {yes(self.equal)}"


def yes(fact: bool) -> str:
    return "yes" if fact else "NO"


def outcomes(run: PipelineConfig, whole: Store, stages: Sequence[str]) -> list[Outcome]:
    """Run `run`, killed once in each of `stages`, to its end; `whole` is the folder of the run left alone."""
    root = Path(run.out, run.name)
    seen: dict[str, dict[str, int]] = {}
    for stage in run.stages:
        if stage.name in stages:
            kill_when(run, root / stage.name, SIGNS[stage.stage])
            seen[stage.name] = finished(root)
    run_to_end(run)
    last = finished(root)
    equal = {name: content(Store.at(root / name)) == content(whole / name) for name in seen}
    return [
        Outcome(name, name not in earlier, len(earlier), earlier.items() <= last.items(), equal[name])
        for name, earlier in seen.items()
    ]


def command(run: PipelineConfig) -> list[str]:
    """What runs a description, which is written down beside its folder."""
    path = Path(run.out, "run.yaml")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(run.model_dump(mode="json"), sort_keys=False))
    return [sys.executable, "-m", "framework.cli", "run", str(path)]


def run_to_end(run: PipelineConfig) -> Store:
    """Run it in a process of its own; gives its folder."""
    subprocess.run(command(run), check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return Store.at(run.out) / run.name


def kill_when(run: PipelineConfig, folder: Path, sign: str) -> None:
    """Start a run and kill its process group at a file in a stage's folder; the rest must end too."""
    process = subprocess.Popen(
        command(run), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    wait_until(lambda: any(folder.glob(sign)) or process.poll() is not None)
    below = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    # A worker that was just starting waits 60 s for Ray's control service before it gives up.
    _, alive = psutil.wait_procs(below, timeout=120)
    assert not alive, f"these outlived the run: {alive}"


def finished(root: Path) -> dict[str, int]:
    """When a file of each finished artifact was last written."""
    folders = [path.parent for path in root.glob("*/artifact.json")]
    return {folder.name: max(path.stat().st_mtime_ns for path in folder.rglob("*")) for folder in folders}


def content(store: Store) -> Any:
    """A model's weights, or a layer's rows by id, however they lie in its parts."""
    if store.exists("model.safetensors"):
        return store.read_bytes("model.safetensors")
    parts = [store.read_table(name) for name in store.names() if name.startswith("rows-")]
    return {row["id"]: row for part in parts for row in part.to_pylist()}


def wait_until(ready: Callable[[], bool], seconds: float = 600) -> None:
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.005)


def main(config: str, *overrides: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        run = load_pipeline(config, [*overrides, f"out={folder}/killed"])
        whole = run_to_end(run.model_copy(update={"out": f"{folder}/whole"}))
        stages = [stage.name for stage in run.stages if stage.stage in SIGNS]
        for outcome in outcomes(run, whole, stages):
            print(outcome)


if __name__ == "__main__":
    main(*sys.argv[1:])
