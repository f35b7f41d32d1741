"""What our loop under Ray Train costs beside a bare PyTorch loop of the same method, and how long a step
waits for data.

    python -m tests.bench.overhead

One Ray Train worker trains Co-DA at 96 px on the small U-Net. After every few steps of our loop it runs as
many of a bare loop: another copy of the method, the update alone, on batches of the same loader: either
loop has to pay for augmentation, and what a step waits for it is the second figure. In one process both
meet the same machine, the same memory and the same neighbours; in two, the same loop differs from itself
by a tenth. Each of our turns is compared with the mean of the bare turns before and after it, which takes
a steady drift of the machine away; the overhead is the median over turns.
"""

from __future__ import annotations

import itertools
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from framework.training.config import TrainConfig

BLOCK, TURNS, SKIPPED = 5, 120, 1
"""Steps of a turn, turns of each side, and first steps of a turn that are not counted."""


def main() -> None:
    os.environ["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory() as folder:
        run = _run(folder)
        _build_corpus(run)
        _on_ray(run, folder)
        _print_result(folder)


def _run(folder: str) -> Any:
    from framework.core.config_files import parse

    return parse(
        {
            "name": "ours",
            "out": folder,
            "corpus": {"path": f"{folder}/corpus", "size": 96, "budget": {"share": 0.2}},
            "augment": {"rotate": 20, "scale": 0.15, "gain": 0.2},
            "method": {"name": "coda"},
            "train": {
                "steps": BLOCK * TURNS,
                "batch": 8,
                "ema": 0.0,
                "validate_every": 10**6,
                "checkpoint_every": 10**6,
            },
        },
        TrainConfig,
    )


def _build_corpus(run: Any) -> None:
    from framework.core.storage import Store
    from framework.corpus.writer import pack
    from framework.experiments.pipeline.config import PhantomConfig
    from framework.experiments.pipeline.run import phantom_source

    pack(phantom_source(PhantomConfig(images=300, size=96), "corpus"), Store.at(run.corpus.path))


def _on_ray(run: Any, folder: str) -> None:
    from ray.train import RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    from framework.core.ray_runtime import start_ray

    start_ray()
    TorchTrainer(
        _worker,
        train_loop_config={"run": run.model_dump(), "folder": folder},
        torch_config=TorchConfig(backend="gloo"),
        scaling_config=ScalingConfig(num_workers=1, resources_per_worker={"CPU": 1}),
        run_config=RunConfig(name="overhead", storage_path=f"{folder}/ray"),
    ).fit()


def _worker(config: dict[str, Any]) -> None:
    """Our loop as it is; between its turns, when it asks for the next batch, the bare loop has one."""
    import torch

    from framework.core.config_files import parse
    from framework.core.storage import Store
    from framework.loading.loader import Batch
    from framework.training.loop import fit
    from framework.training.memory import keep_freed_memory
    from framework.training.trainer import Trainer

    torch.set_num_threads(1)
    keep_freed_memory()
    run = parse(config["run"], TrainConfig)
    trainer = Trainer.build(run, Store.at(run.out) / run.name, torch.device("cpu"))
    make, bare = (
        trainer.loader.run,
        _bare_turns(Trainer.build(run, Store.at(run.out) / "bare", torch.device("cpu"))),
    )
    seconds: list[float] = []

    def with_turns(start: int, stop: int) -> Iterator[Batch]:
        for i, batch in enumerate(make(start, stop)):
            if i % BLOCK == 0:
                seconds.extend(next(bare))
            yield batch

    trainer.loader.run = with_turns  # type: ignore[method-assign]
    fit(trainer)
    Path(config["folder"], "bare.txt").write_text("\n".join(map(str, seconds)))


def _bare_turns(trainer: Any) -> Iterator[list[float]]:
    """Seconds of the counted steps of one turn: no log, no checks, no checkpoints."""
    import torch

    method = trainer.method
    batches = trainer.loader.run(0, BLOCK * (TURNS + 1))
    parameters = list(method.networks.parameters())
    optimiser = torch.optim.AdamW(parameters, lr=3e-3, weight_decay=1e-4, fused=True)
    while True:
        seconds = []
        for _ in range(BLOCK):
            begin = time.perf_counter()
            batch = trainer.to_device(next(batches))
            with torch.autocast("cpu", torch.bfloat16):
                update = next(method.train_step(batch, 1000))
            update.loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 10.0, foreach=True)
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
            seconds.append(time.perf_counter() - begin)
        yield seconds[SKIPPED:]


def _print_result(folder: str) -> None:
    from framework.core.storage import Store
    from framework.training.metric_log import read

    steps = [
        r for r in read(Store.at(f"{folder}/ours")) if "loss" in r and (r["step"] - 1) % BLOCK >= SKIPPED
    ]
    ours = _by_turn([r["seconds"] for r in steps])
    bare = _by_turn(list(map(float, Path(folder, "bare.txt").read_text().split())))
    around = [(before + after) / 2 for before, after in itertools.pairwise(bare)]
    ratios = sorted(a / b for a, b in zip(ours, around, strict=False))
    waited = sum(r["wait"] for r in steps) / sum(r["seconds"] for r in steps)
    low, middle, high = statistics.quantiles(ratios, n=4)
    margin = round(0.98 * len(ratios) ** 0.5)  # places beside the middle, by the binomial distribution
    least, most = (100 * (ratios[len(ratios) // 2 + side * margin] - 1) for side in (-1, 1))
    typical = [1e3 * statistics.median(turns) for turns in (ours, bare)]
    print(f"median step: ours {typical[0]:.1f} ms under Ray Train, bare loop {typical[1]:.1f} ms")
    print(f"ratio of neighbouring turns: quartiles {low:.3f} to {high:.3f} of {len(ratios)} turns")
    print(f"overhead, 95 % interval of the median: {least:.2f} to {most:.2f} percent")
    print(f"RESULT overhead_percent={100 * (middle - 1):.2f} data_wait_percent={100 * waited:.2f}")


def _by_turn(seconds: list[float]) -> list[float]:
    """Median step of each turn."""
    size = BLOCK - SKIPPED
    return [statistics.median(seconds[i : i + size]) for i in range(0, len(seconds), size)]


if __name__ == "__main__":
    main()
