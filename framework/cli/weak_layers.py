"""The commands that make layers of weak masks: `scantseg corpus weaken`, `scantseg corpus layer`."""

from __future__ import annotations

from typing import Annotated, Optional

import typer

from framework.cli.progress import progress

CorpusFolder = Annotated[str, typer.Argument(help="Folder of the corpus.")]
LayerName = Annotated[str, typer.Option("--layer", help="Name of the label layer to write.")]
Budget = Annotated[
    float, typer.Option(help="Share of unusable rows over which the job gives up.", min=0, max=1)
]
Range = Optional[tuple[int, int]]


def weaken(
    corpus: CorpusFolder,
    name: LayerName,
    kind: Annotated[str, typer.Option(help="box, polygon, scribble, erode or dilate.")],
    seed: Annotated[int, typer.Option(help="Another seed draws other labels.", min=0)] = 0,
    split: Annotated[str, typer.Option(help="train, val or test.")] = "train",
    jitter: Annotated[
        Optional[float], typer.Option(help="box: edges move by up to this share of a side.  [default: 0.1]")
    ] = None,
    points: Annotated[Range, typer.Option(help="polygon: fewest and most corners.  [default: 6 10]")] = None,
    width: Annotated[
        Optional[int], typer.Option(help="scribble: width of a stroke in pixels.  [default: 3]")
    ] = None,
    radius: Annotated[
        Range, typer.Option(help="erode, dilate: least and largest, in pixels.  [default: 2 6]")
    ] = None,
    swapped: Annotated[
        float, typer.Option(help="Share of images that get another one's label.", min=0, max=1)
    ] = 0.0,
    error_budget: Budget = 0.01,
) -> None:
    """Simulate weak labels from the true masks, to try what they would be worth."""
    from framework.core.config_files import parse
    from framework.labelling.weak.layers import simulate
    from framework.labelling.weak.simulators import Simulator

    options = {"jitter": jitter, "points": points, "width": width, "radius": radius}
    chosen = {option: value for option, value in options.items() if value is not None}
    simulator = parse({"kind": kind, **chosen}, Simulator, "scantseg corpus weaken")
    with progress(f"weaken to {kind}") as on_progress:
        out = simulate(corpus, name, simulator, seed, split, swapped, error_budget, on_progress)
    counts = out.read_json("artifact.json")["counts"]
    typer.echo(f"layer: {out.url} ({counts['rows']} images, {counts['quarantined']} quarantined)")


def layer(
    folder: Annotated[str, typer.Argument(help="Folder of ID.png: class ids, 255 = no claim.")],
    corpus: CorpusFolder,
    name: LayerName,
    kind: Annotated[str, typer.Option(help="scribble, box, polygon or noisy.")],
    error_budget: Budget = 0.05,
) -> None:
    """Lay weak masks that somebody drew over a corpus."""
    from framework.labelling.weak.layers import import_masks

    with progress("import masks") as on_progress:
        out = import_masks(folder, corpus, name, kind, error_budget, on_progress)
    counts = out.read_json("artifact.json")["counts"]
    typer.echo(
        f"layer: {out.url} ({counts['rows']} images; {counts['images_without_file']} images have no file there)"
    )
    if counts["quarantined"]:
        typer.secho(
            f"{counts['quarantined']} rows are in quarantine: see quarantine.parquet", fg="yellow", err=True
        )
    if counts["files_without_image"]:
        typer.secho(
            f"{counts['files_without_image']} files are of no image of the corpus", fg="yellow", err=True
        )
