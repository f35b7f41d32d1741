"""Supervised, CPS and Co-DA with 14 of 70 labelled patients, and supervised with all, on ACDC at 96 px: the README's table.

    python -m tests.bench.acdc --data FOLDER [--out runs/acdc] [--seeds 0 1 2] [--methods coda cps supervised all] [--split test]

Trains what is missing (one process and thread each), evaluates, and prints the table. Run again, it only prints. Settings were
chosen on the validation patients; `--split val` prints their scores.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

CLASSES = "background,RV,Myo,LV"
ROWS = {
    "supervised": "supervised, 14 patients",
    "cps": "CPS, 14 patients",
    "coda": "**Co-DA, 14 patients**",
    "all": "supervised, all 70 patients",
}


def main() -> None:
    options = _options()
    corpus = str(Path(options.out) / "corpus")
    _scantseg("corpus", "build", options.data, corpus, "--name", "acdc", "--classes", CLASSES)
    found = {}
    for seed in options.seeds:
        for method in options.methods:
            found[method, seed] = _one(method, seed, corpus, options)
    print(_table(found, options))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--out", default="runs/acdc")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--methods", nargs="+", default=["coda", "cps", "supervised", "all"], choices=list(ROWS))
    parser.add_argument("--split", default="test", choices=["val", "test"])
    return parser.parse_args()


def _one(method: str, seed: int, corpus: str, options: argparse.Namespace) -> dict[str, Any]:
    """Train and score one run; gives the summary, the per-case means and the minutes of training."""
    from framework.storage import Store

    name = f"{method}-{seed}"
    model = Path(options.out) / name
    settings = [f"name={name}", f"out={options.out}", f"seed={seed}", f"corpus.path={corpus}", "compute.workers=0"]
    _scantseg("train", f"configs/acdc/{method}.yaml", *settings)
    _scantseg("evaluate", str(model), corpus, "--split", options.split)
    score = Store.at(f"{model}-{options.split}").read_json("summary.json")
    return {"scores": score["predictors"], "minutes": Store.at(str(model)).read_json("artefact.json")["seconds"] / 60}


def _scantseg(*words: str) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-m", "framework.cli", *words], check=True, env=environment, stdout=sys.stderr)


def _table(found: dict[tuple[str, int], dict[str, Any]], options: argparse.Namespace) -> str:
    lines = [
        f"Dice per {options.split} volume, mean over seeds {', '.join(map(str, options.seeds))} (standard deviation over seeds)",
        "",
        "| method | network 1 | both networks | RV / Myo / LV | minutes |",
        "|---|---|---|---|---|",
    ]
    for method in (m for m in ROWS if m in options.methods):
        runs = [found[method, seed] for seed in options.seeds]
        best = "both" if "both" in runs[0]["scores"] else "network 1"
        classes = [name for name in runs[0]["scores"][best] if name != "mean"]
        parts = " / ".join(f"{statistics.fmean(_dice(run, best, name) for run in runs):.3f}" for name in classes)
        both = _spread(runs, "both") if best == "both" else "–"
        minutes = statistics.fmean(run["minutes"] for run in runs)
        lines.append(f"| {ROWS[method]} | {_spread(runs, 'network 1')} | {both} | {parts} | {minutes:.1f} |")
    return "\n".join(lines)


def _dice(run: dict[str, Any], predictor: str, structure: str) -> float:
    return run["scores"][predictor][structure]["dice"]["mean"]


def _spread(runs: list[dict[str, Any]], predictor: str) -> str:
    values = [_dice(run, predictor, "mean") for run in runs]
    spread = f" ({statistics.stdev(values):.3f})" if len(values) > 1 else ""
    return f"{statistics.fmean(values):.3f}{spread}"


if __name__ == "__main__":
    main()
