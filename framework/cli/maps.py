"""The commands of weak supervision by image-level labels: maps of evidence, seeds, the walk, masks; and how right maps are."""

from __future__ import annotations

from typing import Annotated, Any, Optional

import typer

from framework.cli.progress import progress
from framework.cli.weak_layers import Budget, CorpusFolder, LayerName

Splits = Annotated[
    Optional[list[str]], typer.Option(help="train, val or test; may be repeated.  [default: train]")
]
Actors = Annotated[int, typer.Option(help="Processes that do the work.", min=1)]
PerPass = Annotated[int, typer.Option(help="Images at once.", min=1)]
Gpu = Annotated[bool, typer.Option(help="One GPU per actor.")]
MapLayerName = Annotated[str, typer.Option("--maps", help="Name of the layer of maps to read.")]


def cam(
    model: Annotated[str, typer.Argument(help="Folder of a finished classifier.")],
    corpus: CorpusFolder,
    name: LayerName,
    show: Annotated[
        list[str],
        typer.Option(help="CLASS=TARGET.ANSWER: the mask's class that an answer means; may be repeated."),
    ],
    kind: Annotated[str, typer.Option(help="grad-cam++, grad-cam or cam.")] = "grad-cam++",
    split: Splits = None,
    actors: Actors = 1,
    batch: PerPass = 32,
    gpu: Gpu = False,
    error_budget: Budget = 0.01,
) -> None:
    """Map where a classifier sees the evidence for its answers, streamed by Ray Data."""
    from framework.core.artifact import summary
    from framework.core.config_files import parse
    from framework.core.storage import Store
    from framework.labelling.cam.job import make_maps
    from framework.labelling.settings import CamConfig

    shows = dict(_shown(text) for text in show)
    settings = {
        "shows": shows,
        "kind": kind,
        "splits": split or ["train"],
        "actors": actors,
        "batch": batch,
        "gpu": gpu,
    }
    config = parse(settings | {"error_budget": error_budget}, CamConfig, "scantseg cam")
    with progress("maps") as on_progress:
        out = make_maps(Store.at(model), corpus, name, config, on_progress)
    typer.echo(f"maps: {out.url} ({summary(out)})")


def seeds(
    corpus: CorpusFolder,
    maps: MapLayerName,
    name: LayerName,
    foreground: Annotated[
        float, typer.Option(help="What exceeds this is surely its class.", min=0, max=1)
    ] = 0.3,
    background: Annotated[
        float, typer.Option(help="What does not exceed this is surely background.", min=0, max=1)
    ] = 0.05,
    crf: Annotated[bool, typer.Option(help="Make both fit the picture with a dense CRF.")] = True,
    size: Annotated[int, typer.Option(help="Pixels a side of the picture on which seeds are found.")] = 96,
    actors: Actors = 1,
    batch: PerPass = 32,
    gpu: Gpu = False,
    error_budget: Budget = 0.01,
) -> None:
    """Keep what maps are sure of, as labels that IRNet learns from."""
    from framework.core.artifact import summary
    from framework.core.config_files import parse
    from framework.labelling.seeds.job import make_seeds
    from framework.labelling.settings import SeedConfig

    settings: dict[str, Any] = {
        "foreground": foreground,
        "background": background,
        "size": size,
        **({} if crf else {"crf": None}),
    }
    pool = {"actors": actors, "batch": batch, "gpu": gpu, "error_budget": error_budget}
    config = parse(settings | pool, SeedConfig, "scantseg seeds")
    with progress("seeds") as on_progress:
        out = make_seeds(corpus, maps, name, config, on_progress)
    typer.echo(f"layer: {out.url} ({summary(out)})")


def walk(
    model: Annotated[str, typer.Argument(help="Folder of a finished model of method irnet.")],
    corpus: CorpusFolder,
    maps: MapLayerName,
    name: LayerName,
    radius: Annotated[int, typer.Option(help="Neighbours nearer than this exchange evidence.", min=2)] = 5,
    beta: Annotated[float, typer.Option(help="The larger, the more a faint boundary holds back.")] = 10.0,
    doublings: Annotated[
        int, typer.Option(help="The walk has two to the power of this many steps.", min=0)
    ] = 8,
    actors: Actors = 1,
    batch: PerPass = 32,
    gpu: Gpu = False,
    error_budget: Budget = 0.01,
) -> None:
    """Carry maps of evidence up to the boundaries that IRNet finds."""
    from framework.core.artifact import summary
    from framework.core.config_files import parse
    from framework.core.storage import Store
    from framework.labelling.settings import WalkJobConfig
    from framework.labelling.walk.job import make_walk

    settings = {
        "walk": {"radius": radius, "beta": beta, "doublings": doublings},
        "actors": actors,
        "batch": batch,
        "gpu": gpu,
    }
    config = parse(settings | {"error_budget": error_budget}, WalkJobConfig, "scantseg walk")
    with progress("walk") as on_progress:
        out = make_walk(Store.at(model), corpus, maps, name, config, on_progress)
    typer.echo(f"maps: {out.url} ({summary(out)})")


def masks(
    corpus: CorpusFolder,
    maps: MapLayerName,
    name: LayerName,
    threshold: Annotated[
        float, typer.Option(help="A pixel is of its strongest class when that exceeds this.", min=0, max=1)
    ] = 0.3,
    background: Annotated[
        float | None,
        typer.Option(
            help="What no class exceeds is background, between the two nothing is claimed.", min=0, max=1
        ),
    ] = None,
    max_components: Annotated[
        int | None, typer.Option(help="An image of a class in more connected parts has no mask.", min=1)
    ] = None,
    split: Splits = None,
    error_budget: Budget = 0.01,
) -> None:
    """Cut pseudo masks out of maps; images without any class become background."""
    from framework.core.artifact import summary
    from framework.core.config_files import parse
    from framework.labelling.masks import make_masks
    from framework.labelling.settings import ThresholdConfig

    cuts = {"threshold": threshold, "background": background, "max_components": max_components}
    settings = cuts | {"splits": split or ["train"], "error_budget": error_budget}
    with progress("masks") as on_progress:
        out = make_masks(corpus, maps, name, parse(settings, ThresholdConfig, "scantseg masks"), on_progress)
    typer.echo(f"layer: {out.url} ({summary(out)})")


def measure(
    corpus: CorpusFolder,
    maps: MapLayerName,
    split: Annotated[
        str, typer.Option(help="train, val or test; thresholds are to be chosen on val.")
    ] = "val",
) -> None:
    """Print the IoU of maps at many thresholds, where the corpus holds masks; nothing is trained."""
    from rich.console import Console
    from rich.table import Table

    from framework.corpus.map_layers import MapLayer
    from framework.corpus.reader import Corpus
    from framework.labelling.map_quality import THRESHOLDS, measure_maps

    opened = Corpus.open(corpus)
    found = measure_maps(opened, MapLayer.open(opened, maps), split)
    table = Table(
        "threshold", *found, title=f"IoU of '{maps}' on {split} images that show the class [95 % interval]"
    )
    for i, cut in enumerate(THRESHOLDS):
        cells = (held[i] for held in found.values())
        table.add_row(f"{cut:.2f}", *(f"{m.mean:.3f} [{m.low:.3f}, {m.high:.3f}]" for m in cells))
    Console().print(table)


def _shown(text: str) -> tuple[str, tuple[str, ...]]:
    from framework.core.errors import ConfigError

    class_name, equals, answer = text.partition("=")
    if not equals or "." not in answer:
        raise ConfigError(f"--show '{text}': has the form CLASS=TARGET.ANSWER, such as tumour=tumour.present")
    return class_name, tuple(answer.split(".", 1))
