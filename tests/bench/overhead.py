"""What our loop under Ray Train costs beside a bare PyTorch loop of the same method, and how long a step waits for data.

    python -m tests.bench.overhead

Two processes hold the same Co-DA run at 96 px on the small U-Net and take short turns, so that both meet the same machine: one Ray
Train worker runs our loop, one plain process runs the update alone on batches that are ready in memory. Both keep freed memory,
which makes either of them faster; what is left is the loop's own cost. The overhead is the median over pairs of turns.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

BLOCK, TURNS, SKIPPED = 10, 25, 2
"""Steps of a turn, turns of each side, and first steps of a turn that are not counted."""


def main() -> None:
    os.environ["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory() as folder:
        run = _run(folder)
        _build_corpus(run)
        Path(folder, "turn").write_text("0")
        bare = subprocess.Popen([sys.executable, "-m", "tests.bench.overhead", "bare", folder])
        try:
            _ours_on_ray(run, folder)
        finally:
            bare.wait(timeout=600)
        _print_result(folder)


def _run(folder: str) -> Any:
    from framework.config import parse

    return parse(
        {
            "name": "ours",
            "out": folder,
            "corpus": {"path": f"{folder}/corpus", "size": 96, "budget": {"share": 0.2}},
            "method": {"name": "coda"},
            "train": {"steps": BLOCK * TURNS, "batch": 8, "ema": 0.0, "validate_every": 10**6, "checkpoint_every": 10**6},
        }
    )


def _build_corpus(run: Any) -> None:
    from framework.corpus.pack import pack
    from framework.pipeline.run import phantom_source
    from framework.pipeline.stages import PhantomConfig
    from framework.storage import Store

    pack(phantom_source(PhantomConfig(images=300, size=96), "corpus"), Store.at(run.corpus.path))


def _take_turns(folder: str, side: int) -> Iterator[None]:
    """Waits until it is this side's turn; the next call passes the turn on."""
    path = Path(folder, "turn")
    for turn in range(TURNS):
        while int(path.read_text() or -1) != 2 * turn + side:
            time.sleep(0.005)
        yield
        partial = path.with_suffix(f".{side}")
        partial.write_text(str(2 * turn + side + 1))
        partial.rename(path)


def _ours_on_ray(run: Any, folder: str) -> None:
    from ray.train import RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    from framework.training.ray_driver import start_ray

    start_ray()
    TorchTrainer(
        _ours,
        train_loop_config={"run": run.model_dump(), "folder": folder},
        torch_config=TorchConfig(backend="gloo"),
        scaling_config=ScalingConfig(num_workers=1, resources_per_worker={"CPU": 1}),
        run_config=RunConfig(name="overhead", storage_path=f"{folder}/ray"),
    ).fit()


def _ours(config: dict[str, Any]) -> None:
    """Our loop as it is; only its source of batches holds still while the other side runs."""
    import torch

    from framework.config import parse
    from framework.corpus.loader import Batch, Loader
    from framework.storage import Store
    from framework.training.loop import Trainer, fit
    from framework.training.memory import keep_freed_memory

    torch.set_num_threads(1)
    keep_freed_memory()
    run = parse(config["run"])
    trainer = Trainer.build(run, Store.at(run.out) / run.name, torch.device("cpu"))
    make = trainer.loader.run

    def in_turns(start: int, stop: int) -> Iterator[Batch]:
        turns = _take_turns(config["folder"], 0)
        try:
            for i, batch in enumerate(make(start, stop)):
                if i % BLOCK == 0:
                    next(turns)
                yield batch
        finally:
            next(turns, None)  # the loop asks for no batch after the last: closing the source passes on the last turn

    assert isinstance(trainer.loader, Loader)
    trainer.loader.run = in_turns  # type: ignore[method-assign]
    fit(trainer)


def _bare(folder: str) -> None:
    """The update alone: no order, no log, no checks, no data to wait for."""
    import torch

    from framework.storage import Store
    from framework.training.loop import Trainer
    from framework.training.memory import keep_freed_memory

    torch.set_num_threads(1)
    keep_freed_memory()
    run = _run(folder)
    trainer = Trainer.build(run, Store.at(folder) / "bare", torch.device("cpu"))
    to = {"device": torch.device("cpu")}
    batches = [{name: part.to(**to) for name, part in trainer.loader.at(step).items()} for step in range(16)]
    method = trainer.method
    parameters = list(method.networks.parameters())
    optimiser = torch.optim.AdamW(parameters, lr=3e-3, weight_decay=1e-4, fused=True)
    seconds = []
    for _ in _take_turns(folder, 1):
        for i in range(BLOCK):
            begin = time.perf_counter()
            with torch.autocast("cpu", torch.bfloat16):
                update = next(method.train_step(batches[i % len(batches)], 1000))
            update.loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 10.0, foreach=True)
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
            if i >= SKIPPED:
                seconds.append(time.perf_counter() - begin)
    Path(folder, "bare.txt").write_text("\n".join(map(str, seconds)))


def _print_result(folder: str) -> None:
    from framework.storage import Store
    from framework.training.metric_log import read

    steps = [r for r in read(Store.at(f"{folder}/ours")) if "loss" in r and (r["step"] - 1) % BLOCK >= SKIPPED]
    ours = _by_turn([r["seconds"] for r in steps])
    bare = _by_turn(list(map(float, Path(folder, "bare.txt").read_text().split())))
    ratios = [a / b for a, b in zip(ours, bare, strict=True)]
    waited = sum(r["wait"] for r in steps) / sum(r["seconds"] for r in steps)
    print(f"median step: ours {statistics.median(ours) * 1e3:.1f} ms under Ray Train, bare loop {statistics.median(bare) * 1e3:.1f} ms")
    low, _, high = statistics.quantiles(ratios, n=4)
    print(f"ratio of neighbouring turns: quartiles {low:.3f} to {high:.3f} of {TURNS} turns")
    overhead = 100 * (statistics.median(ratios) - 1)
    print(f"RESULT overhead_percent={overhead:.2f} data_wait_percent={100 * waited:.2f}")


def _by_turn(seconds: list[float]) -> list[float]:
    """Median step of each turn."""
    size = BLOCK - SKIPPED
    return [statistics.median(seconds[i : i + size]) for i in range(0, len(seconds), size)]


if __name__ == "__main__":
    _bare(sys.argv[2]) if sys.argv[1:2] == ["bare"] else main()
