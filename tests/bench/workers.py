"""The same run with one and with two Ray Train workers: how far the losses of the first 50 steps lie apart.

    python -m tests.bench.workers CONFIG [key.sub=value …]

Runs in double precision and in float32; in both the order of sums is all that differs. As a control for
float32 one process trains again from weights that are changed by one part in ten million, the size of a
rounding: a recipe that amplifies this amplifies the order of sums as well.
"""

from __future__ import annotations

import sys
import tempfile

STEPS, ROUNDING = 50, 1e-7


def main(config: str, overrides: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        fixed = [*overrides, f"out={folder}", f"train.steps={STEPS}"]
        double = [
            _on_ray(config, [*fixed, f"name=double-{n}", f"compute.workers={n}", "train.precision=fp64"])
            for n in (1, 2)
        ]
        single = [
            _on_ray(config, [*fixed, f"name=single-{n}", f"compute.workers={n}", "train.precision=fp32"])
            for n in (1, 2)
        ]
        changed = _with_changed_weights(
            config, [*fixed, "name=changed", "compute.workers=0", "train.precision=fp32"]
        )
    for step in (1, 10, 25, 50):
        print(
            f"step {step}: 1 and 2 workers {_apart(double, step):.1e} apart in double, "
            f"{_apart(single, step):.1e} in float32"
        )
    print(
        f"RESULT largest_relative_difference={_apart(double, STEPS):.2e} "
        f"in_float32={_apart(single, STEPS):.2e} control={_apart([single[0], changed], STEPS):.2e}"
    )


def _on_ray(config: str, settings: list[str]) -> list[float]:
    from framework.training.config import load_train
    from framework.training.metric_log import read
    from framework.training.run import train

    return [record["loss"] for record in read(train(load_train(config, settings))) if "loss" in record]


def _with_changed_weights(config: str, settings: list[str]) -> list[float]:
    import torch

    from framework.experiments.pipeline.config import load_pipeline
    from framework.training.run import model_store
    from framework.training.trainer import Trainer

    torch.set_num_threads(1)
    run = load_pipeline(config, settings)
    trainer = Trainer.build(run, model_store(run), torch.device("cpu"))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in trainer.method.networks.parameters():
            weight.mul_(1 + ROUNDING * (2 * torch.rand(weight.shape, generator=generator) - 1))
    losses = []
    for trainer.step in range(STEPS):
        losses.append(
            float(trainer.train_step(trainer.to_device(trainer.loader.batch_at(trainer.step)))["loss"])
        )
    return losses


def _apart(losses: list[list[float]], steps: int) -> float:
    """Largest relative difference of two runs over their first steps."""
    return max(abs(a - b) / abs(a) for a, b in zip(*(run[:steps] for run in losses), strict=True))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
