"""An evaluation's scores as tables in the terminal."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table


def print_scores(summary: dict[str, Any]) -> None:
    """Tables of all that an evaluation measured: masks, lesions, answers about whole images."""
    if "predictors" in summary:
        _print_masks(summary)
    if "lesions" in summary:
        _print_lesions(summary)
    if "targets" in summary:
        _print_answers(summary)


def _print_answers(summary: dict[str, Any]) -> None:
    table = Table(
        "target",
        "images",
        "AUC",
        "accuracy",
        "balanced",
        "kappa",
        title=f"{summary['split']} [95 % interval]",
    )
    for name, found in summary["targets"].items():
        held = (found[key] for key in ("auc", "accuracy", "balanced_accuracy", "kappa"))
        cells = (
            f"{m['mean']:.3f} [{m['low']:.3f}, {m['high']:.3f}]" if m else "one class only" for m in held
        )
        table.add_row(name, str(found["images"]), *cells)
    Console().print(table)


def _print_lesions(summary: dict[str, Any]) -> None:
    table = Table(
        "lesion",
        "images with it",
        "AUPR",
        title=f"{summary['split']}: over the pixels of all images [95 % interval]",
    )
    for name, found in summary["lesions"].items():
        m = found["aupr"]
        area = f"{m['mean']:.3f} [{m['low']:.3f}, {m['high']:.3f}]" if m else "in no image"
        table.add_row(name, str(found["images"]), area)
    Console().print(table)


def _print_masks(summary: dict[str, Any]) -> None:
    unit = summary["unit"]
    title = f"{summary['split']}: mean over {summary['cases']} cases [95 % interval]"
    table = Table("predictor", "structure", "Dice", f"HD95 ({unit})", title=title)
    for predictor, structures in summary["predictors"].items():
        for structure, metrics in structures.items():
            cells = (
                f"{m['mean']:.3f} [{m['low']:.3f}, {m['high']:.3f}]"
                for m in (metrics["dice"], metrics["hd95"])
            )
            table.add_row(predictor, structure, *cells)
    Console().print(table)
