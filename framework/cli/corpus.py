"""The commands `scantseg corpus …`: build and look at corpora."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, Optional

import typer

from framework.cli.progress import progress
from framework.cli.terminal import show
from framework.core.counting import several

if TYPE_CHECKING:
    from framework.core.storage import Store
    from framework.corpus.writer import Source

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Build and look at corpora.")

Names = Annotated[str, typer.Option(help="Names of the mask's classes, background first, by commas.")]
MaskValues = Annotated[
    str, typer.Option(help="What stands for 0, 1, … in the masks, by commas: 0,255 or '#000000,#ff0000'.")
]
Channels = Annotated[
    Optional[Literal["1", "3"]], typer.Option(help="Grey or colour; default: grey where all images are.")
]
ShardSize = Annotated[float, typer.Option(help="Size of a Parquet shard in MB.", min=0.01)]


@app.command("build")
def build(
    source: Annotated[str, typer.Argument(help="Folder with images/, masks/ and labels.csv.")],
    out: Annotated[str, typer.Argument(help="Folder of the corpus (local, s3://, gs://).")],
    name: Annotated[Optional[str], typer.Option(help="Name of the corpus; default: its folder's.")] = None,
    classes: Names = "",
    bits: Annotated[bool, typer.Option(help="A mask pixel is one bit per lesion, not a class id.")] = False,
    labels: Annotated[str, typer.Option(help="Image-level label columns, by commas; default: found.")] = "",
    mask_values: MaskValues = "",
    channels: Channels = None,
    shard_mb: ShardSize = 256,
    error_budget: Annotated[
        float, typer.Option(help="Share of bad rows that fails it.", min=0, max=1)
    ] = 0.05,
) -> None:
    """Pack a folder of images into a corpus; the same command again continues."""
    from framework.core.storage import Store
    from framework.corpus.sources.folder import folder_source

    target = Store.at(out)
    encoding, name = "bits" if bits else "ids", name or target.name
    planes = 1 if channels == "1" else 3 if channels == "3" else None
    described = folder_source(
        Store.at(source), name, _split(classes), encoding, _split(labels), mask_values, planes
    )
    _pack(described, target, shard_mb, error_budget)


@app.command("phantom")
def phantom_corpus(
    images: Annotated[int, typer.Option(help="How many images.", min=1)],
    out: Annotated[str, typer.Option(help="Folder of the corpus (local, s3://, gs://).")] = "corpora/phantom",
    seed: Annotated[int, typer.Option(help="Another seed draws other patients.", min=0, max=2**63 - 1)] = 0,
    size: Annotated[int, typer.Option(help="Pixels of a side.", min=32)] = 128,
    shard_mb: ShardSize = 256,
) -> None:
    """Draw fundus-like pictures with lesions, grades and patients, to try everything without data."""
    from framework.core.storage import Store
    from framework.corpus.sources.phantom import source

    target = Store.at(out)
    _pack(source(target.name, images, size, seed), target, shard_mb, 0.0)


@app.command("inspect")
def inspect(
    corpus: Annotated[str, typer.Argument(help="Folder of the corpus.")],
    out: Annotated[str, typer.Option(help="PNG file of the contact sheet.")] = "contact-sheet.png",
    count: Annotated[int, typer.Option(help="Images on the sheet.", min=1)] = 24,
    layer: Annotated[Optional[str], typer.Option(help="Show the masks of this label layer.")] = None,
) -> None:
    """Print what a corpus holds and draw some of its images with their masks."""
    from framework.core.storage import Store
    from framework.corpus.label_layers import Layer
    from framework.corpus.quarantine import quarantine_lines
    from framework.corpus.reader import Corpus
    from framework.reporting.contact_sheet import contact_sheet, describe

    opened = Corpus.open(corpus)
    show(describe(opened))
    for line in [*opened.info.notes, *quarantine_lines(opened.store)]:
        typer.echo(f"note: {line}")
    sheet = contact_sheet(opened, count, layer=Layer.open(opened, layer) if layer else None)
    file = Store.at(out)
    file.parent.write_bytes(file.name, sheet)
    typer.echo(f"contact sheet: {out}")


def _pack(source: Source, target: Store, shard_mb: float, error_budget: float) -> None:
    from framework.corpus.writer import pack

    with progress(f"pack {source.name}") as on_progress:
        done = 0

        def more(rows: int) -> None:
            nonlocal done
            done += rows
            on_progress(done, source.total)

        info = pack(source, target, shard_mb, error_budget, more)
    rows, bad = several(info.counts["rows"], "image"), info.counts["quarantined"]
    shards = several(len(info.shards), "shard")
    typer.echo(f"corpus: {target.url} ({rows} in {shards}, version {info.version})")
    if bad:
        typer.secho(f"{several(bad, 'row')} in quarantine: see quarantine.parquet", fg="yellow", err=True)
    for note in info.notes:
        typer.secho(f"note: {note}", fg="yellow", err=True)


def _split(text: str) -> list[str] | None:
    return [part.strip() for part in text.split(",")] if text else None
