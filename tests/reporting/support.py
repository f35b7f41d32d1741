"""Models and evaluations as folders, and the page of them, without any training."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path

import numpy as np

from framework.core.storage import Store
from framework.evaluation.cases import case_rows, summarise, write_cases
from framework.imaging.overlay import panels
from framework.reporting.report import write_report

CLASSES = ["background", "disc <b>", "ring"]
CORPUS = ("data/eyes", "c0")


def artifact(
    root: Path, kind: str, name: str, hash: str, inputs: dict[str, tuple[str, str]], counts: dict
) -> Store:
    store = Store.at(root / name)
    record = {
        "kind": kind,
        "name": name,
        "hash": hash,
        "config_hash": f"k{hash}",
        "inputs": {role: {"path": path, "hash": made} for role, (path, made) in inputs.items()},
        "counts": counts,
        "seconds": 75.0,
        "finished": True,
        "version": "0",
    }
    store.write_json("artifact.json", record)
    return store


def model(
    root: Path,
    name: str,
    hash: str,
    inputs: dict[str, tuple[str, str]] | None = None,
    aligned: bool = False,
    pseudo: int = 0,
) -> Store:
    budget = {"labelled_images": 20, "labelled_groups": 2, "train_images": 1200, "train_groups": 10}
    size = {
        "pseudo_images": pseudo,
        "unlabelled_images": 1180 - pseudo,
        "parameters": 1234567,
        "steps": 400,
        "workers": 2,
    }
    store = artifact(root, "model", name, hash, {"corpus": CORPUS} | (inputs or {}), budget | size)
    log: list[dict] = [{"step": step, "loss": 1 / step} for step in range(1, 401)]
    log += [
        {"step": step, "validation": {"metric": "dice", "dice": [0.5, 0.7], "mean": step / 500}}
        for step in (200, 400)
    ]
    if aligned:
        statistics = {
            f"{key}_{i}": [0.9, 0.06, 0.04]
            for key in ("pi_labelled", "pi_unlabelled", "ratio", "kept")
            for i in (1, 2)
        }
        log += [{"step": step, "statistics": statistics} for step in (100, 200)]
    store.write_text("metrics.jsonl", "\n".join(map(json.dumps, log)))
    store.write_text("config.yaml", "name: <script>alert(1)</script>\nmethod: {name: coda}\n")
    store.write_json("model.json", {"corpus": "eyes", "classes": CLASSES, "channels": 3})
    return store


def planes(ids: np.ndarray) -> np.ndarray:
    return np.stack([ids == k for k in range(1, len(CLASSES))])


def evaluation(root: Path, name: str, hash: str, of: tuple[str, str]) -> Store:
    store = artifact(
        root, "evaluation", name, hash, {"model": of, "corpus": CORPUS}, {"cases": 4, "images": 4}
    )
    truth = np.zeros((40, 40), np.uint8)
    truth[5:15, 5:15], truth[20:35, 20:35] = 1, 2
    rows, listed = [], []
    for i, rank in enumerate(["best", "median", "median", "worst", "clean"]):
        truth = truth if rank != "clean" else np.zeros_like(truth)
        predicted = np.roll(truth, i, 0) if rank != "worst" else np.where(truth == 1, 0, truth)
        case = case_rows(
            "both",
            f"eye-{i}",
            f"p{i}",
            planes(truth),
            planes(predicted),
            np.zeros(truth.shape, bool),
            CLASSES,
        )
        rows += case
        if rank == "clean":
            continue
        store.write_bytes(f"{i}.png", panels(np.full((40, 40, 3), 80 + i, np.uint8), truth, predicted))
        listed.append(
            {
                "case": f"eye-{i}",
                "rank": rank,
                "dice": float(np.mean([row["dice"] for row in case])),
                "file": f"{i}.png",
            }
        )
    store.write_json(
        "summary.json", summarise(write_cases(store, rows), CLASSES, split="test", unit="px", dimension=2)
    )
    store.write_json("pictures.json", listed)
    return store


def page_of(sources: list[Store], out: Path) -> str:
    assert write_report(sources, out) == str(out)
    return out.read_text()


def words(page: str) -> str:
    body = page[page.index("<body>") :]
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", body)).split())
