"""The commands that look at what was made: scores and reports."""

from typing import Annotated, Optional

import typer

from framework.cli.terminal import show


def evaluate(
    model: Annotated[str, typer.Argument(help="Folder of a finished model.")],
    corpus: Annotated[str, typer.Argument(help="Folder of the corpus.")],
    split: Annotated[str, typer.Option(help="train, val or test.")] = "test",
    out: Annotated[Optional[str], typer.Option(help="Folder to write; default: beside the model.")] = None,
) -> None:
    """Score a model: per-case tables, means with intervals, pictures."""
    from framework.core.storage import Store
    from framework.evaluation.evaluate import evaluate as score
    from framework.evaluation.notices import notices
    from framework.evaluation.text import score_tables

    store = Store.at(model)
    target = Store.at(out or f"{store.url}-{split}")
    summary = score(store, corpus, target, split)
    show(*score_tables(summary))
    for notice in notices(summary):
        typer.secho(f"note: {notice}", fg="yellow")
    typer.echo(f"evaluation: {target.url}")


def evaluate_maps(
    corpus: Annotated[str, typer.Argument(help="Folder of the corpus.")],
    maps: Annotated[str, typer.Option(help="Name of the layer of maps to read.")],
    split: Annotated[str, typer.Option(help="train, val or test; choose thresholds on val.")] = "val",
) -> None:
    """Print the IoU of maps at many thresholds, where the corpus holds masks; nothing is trained."""
    from rich.table import Table

    from framework.corpus.map_layers import MapLayer
    from framework.corpus.reader import Corpus
    from framework.labelling.quality import THRESHOLDS, measure_maps

    opened = Corpus.open(corpus)
    scores = measure_maps(opened, MapLayer.open(opened, maps), split)
    title = f"IoU of '{maps}' on {split} images that show the class [95 % interval]"
    table = Table("threshold", *scores, title=title)
    for threshold, row in zip(THRESHOLDS, zip(*scores.values(), strict=True), strict=True):
        table.add_row(f"{threshold:.2f}", *(f"{m.mean:.3f} [{m.low:.3f}, {m.high:.3f}]" for m in row))
    show(table)


def report(
    sources: Annotated[list[str], typer.Argument(help="Folders of runs, models, layers or evaluations.")],
    out: Annotated[str, typer.Option(help="The HTML file to write.")] = "report.html",
    hide_ids: Annotated[bool, typer.Option("--hide-ids", help="Call images by random names.")] = False,
) -> None:
    """Write one offline HTML file about runs."""
    from framework.core.storage import Store
    from framework.reporting.page import pseudonyms
    from framework.reporting.report import write_report

    stores, known_as = [Store.at(source) for source in sources], pseudonyms() if hide_ids else str
    typer.echo(f"report: {write_report(stores, out, known_as)}")


def verify(
    folders: Annotated[list[str], typer.Argument(help="Corpora, artifacts, or folders with such below.")],
) -> None:
    """Read all files of corpora, layers, models and evaluations, and compare them with what was written."""
    from framework.core.storage import Store
    from framework.reporting.verify import verify as verified

    for line in verified([Store.at(folder) for folder in folders]):
        typer.echo(line)
