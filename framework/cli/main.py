"""The command `scantseg`. Heavy imports wait inside the commands, so that help answers at once."""

from __future__ import annotations

import signal
import sys
from typing import Annotated, Optional

import typer

from framework.cli import maps as cli_maps
from framework.cli import weak_layers as cli_layers
from framework.cli.progress import progress
from framework.core.errors import ScantsegError

# Plain help and no pretty stack traces: rendering them would cost a third of the time in which help has to answer.
app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
    help="Medical image segmentation with few masks and many images.",
)
corpus_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Build and look at corpora.")
app.add_typer(corpus_app, name="corpus")
corpus_app.command("weaken")(cli_layers.weaken)
corpus_app.command("layer")(cli_layers.layer)

INTERRUPTED, TERMINATED = 130, 143
"""Exit codes after Ctrl-C and after SIGTERM, by the convention of shells: 128 + the signal."""

Config = Annotated[str, typer.Argument(help="YAML file that describes the run.")]
Overrides = Annotated[
    Optional[list[str]], typer.Argument(help="Changes, such as train.steps=500 method.kappa=0.9.")
]
Names = Annotated[str, typer.Option(help="Names of the mask's classes, background first, by commas.")]


@app.command()
def train(config: Config, overrides: Overrides = None) -> None:
    """Train a model; the same command again continues or recognises it."""
    from framework.training.config import load_train
    from framework.training.run import train as train_model

    store = train_model(load_train(config, overrides or []))
    typer.echo(f"model: {store.url}")


@app.command()
def run(config: Config, overrides: Overrides = None) -> None:
    """Run all stages of a description: corpus, train, pseudo-label, retrain, evaluate, report."""
    from framework.experiments.pipeline.config import load_pipeline
    from framework.experiments.pipeline.run import run_stages

    run_stages(load_pipeline(config, overrides or []), typer.echo)


@app.command()
def pseudolabel(
    model: Annotated[str, typer.Argument(help="Folder of a finished model.")],
    corpus: Annotated[str, typer.Argument(help="Folder of the corpus.")],
    layer: Annotated[str, typer.Option(help="Name of the label layer to write.")],
    confidence: Annotated[
        float, typer.Option(help="Pixels under this probability claim nothing.", min=0, max=1)
    ] = 0.5,
    actors: Annotated[int, typer.Option(help="Processes that hold the model.", min=1)] = 1,
    batch: Annotated[int, typer.Option(help="Images per forward pass.", min=1)] = 32,
    gpu: Annotated[bool, typer.Option(help="One GPU per actor.")] = False,
    error_budget: Annotated[
        float, typer.Option(help="Share of unreadable rows over which the job gives up.", min=0, max=1)
    ] = 0.01,
) -> None:
    """Label the training images that have no mask with a model, streamed by Ray Data."""
    from framework.core.storage import Store
    from framework.labelling.pseudolabel import pseudo_label
    from framework.labelling.settings import PseudoLabelConfig

    settings = PseudoLabelConfig(
        confidence=confidence, actors=actors, batch=batch, gpu=gpu, error_budget=error_budget
    )
    with progress("pseudo-label") as on_progress:
        out = pseudo_label(Store.at(model), corpus, layer, settings, on_progress)
    counts = out.read_json("artifact.json")["counts"]
    typer.echo(f"layer: {out.url} ({counts['rows']} images, {counts['quarantined']} quarantined)")


app.command("cam")(cli_maps.cam)
app.command("seeds")(cli_maps.seeds)
app.command("walk")(cli_maps.walk)
app.command("masks")(cli_maps.masks)
app.command("measure")(cli_maps.measure)


@app.command()
def evaluate(
    model: Annotated[str, typer.Argument(help="Folder of a finished model.")],
    corpus: Annotated[str, typer.Argument(help="Folder of the corpus.")],
    split: Annotated[str, typer.Option(help="train, val or test.")] = "test",
    out: Annotated[
        Optional[str], typer.Option(help="Folder of the evaluation; default: beside the model.")
    ] = None,
) -> None:
    """Score a model: per-case tables, means with intervals, pictures."""
    from framework.cli.scores import print_scores
    from framework.core.storage import Store
    from framework.evaluation.evaluate import evaluate as score

    store = Store.at(model)
    target = Store.at(out) if out else Store.at(f"{store.url}-{split}")
    summary = score(store, corpus, target, split)
    print_scores(summary)
    typer.echo(f"evaluation: {target.url}")


@app.command()
def report(
    sources: Annotated[list[str], typer.Argument(help="Folders of runs, models, layers or evaluations.")],
    out: Annotated[str, typer.Option(help="The HTML file to write.")] = "report.html",
) -> None:
    """Write one offline HTML file about runs."""
    from framework.core.storage import Store
    from framework.reporting.report import write_report

    typer.echo(f"report: {write_report([Store.at(source) for source in sources], out)}")


@app.command()
def tune(
    config: Annotated[str, typer.Argument(help="YAML file of a search.")], overrides: Overrides = None
) -> None:
    """Search settings with Ray Tune; every trial is a Ray Train run."""
    from framework.experiments.tune.config import load_search
    from framework.experiments.tune.search import search

    search(load_search(config, overrides or []), typer.echo)


@app.command()
def compare(
    config: Annotated[str, typer.Argument(help="YAML file of a comparison.")], overrides: Overrides = None
) -> None:
    """Train recipes over seeds, score them, and write a table and a page; the same command again continues."""
    from framework.experiments.compare.config import load_comparison
    from framework.experiments.compare.run import compare as compare_recipes

    compare_recipes(load_comparison(config, overrides or []), typer.echo)


@corpus_app.command("build")
def corpus_build(
    source: Annotated[str, typer.Argument(help="Folder with images/, masks/ and labels.csv.")],
    out: Annotated[str, typer.Argument(help="Folder of the corpus (local or s3://).")],
    name: Annotated[Optional[str], typer.Option(help="Name of the corpus; default: its folder's.")] = None,
    classes: Names = "",
    bits: Annotated[bool, typer.Option(help="A mask pixel is one bit per lesion, not a class id.")] = False,
    labels: Annotated[str, typer.Option(help="Image-level label columns, by commas; default: found.")] = "",
    shard_mb: Annotated[float, typer.Option(help="Size of a Parquet shard in MB.", min=0.01)] = 256,
    error_budget: Annotated[
        float, typer.Option(help="Share of unusable rows over which the build fails.", min=0, max=1)
    ] = 0.05,
) -> None:
    """Pack a folder of images into a corpus; the same command again continues."""
    from framework.core.storage import Store
    from framework.corpus.sources.folder import folder_source

    target = Store.at(out)
    described = folder_source(
        Store.at(source), name or target.name, _split(classes), "bits" if bits else "ids", _split(labels)
    )
    _pack(described, target, shard_mb, error_budget)


@corpus_app.command("phantom")
def corpus_phantom(
    images: Annotated[int, typer.Option(help="How many images.", min=1)],
    out: Annotated[str, typer.Option(help="Folder of the corpus (local or s3://).")] = "corpora/phantom",
    seed: Annotated[int, typer.Option(help="Another seed draws other patients.", min=0, max=2**63 - 1)] = 0,
    size: Annotated[int, typer.Option(help="Pixels of a side.", min=32)] = 128,
    shard_mb: Annotated[float, typer.Option(help="Size of a Parquet shard in MB.", min=0.01)] = 256,
) -> None:
    """SampleDraw fundus-like pictures with lesions, grades and patients, to try everything without data."""
    from framework.core.storage import Store
    from framework.corpus.sources.phantom import source

    target = Store.at(out)
    _pack(source(target.name, images, size, seed), target, shard_mb, 0.0)


@corpus_app.command("inspect")
def corpus_inspect(
    corpus: Annotated[str, typer.Argument(help="Folder of the corpus.")],
    out: Annotated[str, typer.Option(help="PNG file of the contact sheet.")] = "contact-sheet.png",
    count: Annotated[int, typer.Option(help="Images on the sheet.", min=1)] = 24,
    layer: Annotated[Optional[str], typer.Option(help="Show the masks of this label layer.")] = None,
) -> None:
    """Print what a corpus holds and draw some of its images with their masks."""
    from pathlib import Path

    from rich.console import Console

    from framework.core.storage import Store
    from framework.corpus.reader import Corpus
    from framework.reporting.contact_sheet import LayerMasks, contact_sheet, describe

    opened = Corpus.open(corpus)
    Console().print(describe(opened))
    masks = LayerMasks(opened, layer) if layer else None
    sheet = contact_sheet(opened, count, masks=masks, kinds=masks.kinds if masks else None)
    Store.at(Path(out).parent).write_bytes(Path(out).name, sheet)
    typer.echo(f"contact sheet: {out}")


def main(*words: str) -> None:
    """Run the command line, `words` before its arguments; a fault that the user can mend is one line and exit code 1."""
    signal.signal(
        signal.SIGTERM, lambda *_: sys.exit(TERMINATED)
    )  # what is begun is cleaned up, as after Ctrl-C
    try:
        app(args=[*words, *sys.argv[1:]])
    except ScantsegError as error:
        line = str(error).replace("\n", " ")  # what a message quotes, such as an id, may hold anything
        typer.secho(f"error: {line}", fg="red", err=True)
        sys.exit(1)
    except SystemExit as end:  # typer turns Ctrl-C into this exit code and says nothing
        if end.code == INTERRUPTED:
            typer.secho("interrupted: the same command again continues", fg="yellow", err=True)
        raise


def _pack(source, target, shard_mb: float, error_budget: float) -> None:  # type: ignore[no-untyped-def]
    from framework.corpus.writer import pack

    with progress(f"pack {source.name}") as on_progress:
        done = 0

        def more(rows: int) -> None:
            nonlocal done
            done += rows
            on_progress(done, source.total)

        info = pack(source, target, shard_mb, error_budget, more)
    bad = info.counts["quarantined"]
    typer.echo(
        f"corpus: {target.url} ({info.counts['rows']} images in {len(info.shards)} shards, version {info.version})"
    )
    if bad:
        typer.secho(f"{bad} rows are in quarantine: see quarantine.parquet", fg="yellow", err=True)


def _split(text: str) -> list[str] | None:
    return [part.strip() for part in text.split(",")] if text else None


if __name__ == "__main__":
    main()
