"""The commands that train: a model, the stages of a run, a search, a comparison; and the list of methods."""

from typing import Annotated, Optional

import typer

from framework.cli.terminal import show

Config = Annotated[str, typer.Argument(help="YAML file that describes it.")]
Overrides = Annotated[
    Optional[list[str]], typer.Argument(help="Changes, such as train.steps=500 method.kappa=0.9.")
]


def train(config: Config, overrides: Overrides = None) -> None:
    """Train a model; the same command again continues or recognises it."""
    from framework.training.config import load_train
    from framework.training.run import train as train_model

    store = train_model(load_train(config, overrides or []))
    typer.echo(f"model: {store.url}")


def run(config: Config, overrides: Overrides = None) -> None:
    """Run all stages of a description: corpus, train, pseudo-label, retrain, evaluate, report."""
    from framework.experiments.pipeline.config import load_pipeline
    from framework.experiments.pipeline.run import run_stages

    run_stages(load_pipeline(config, overrides or []), typer.echo)


def tune(config: Config, overrides: Overrides = None) -> None:
    """Search settings with Ray Tune; every trial is a Ray Train run."""
    from framework.experiments.tune.config import load_search
    from framework.experiments.tune.search import search

    search(load_search(config, overrides or []), typer.echo)


def compare(config: Config, overrides: Overrides = None) -> None:
    """Train recipes over seeds, score them, write a table and a page; the same command again continues."""
    from framework.experiments.compare.config import load_comparison
    from framework.experiments.compare.run import compare as compare_recipes

    compare_recipes(load_comparison(config, overrides or []), typer.echo)


def methods() -> None:
    """List the methods: what each learns from, whether in 2D or 3D, and whose it is."""
    from rich.table import Table

    from framework.methods.registry import METHODS

    table = Table("method", "learns from", "network", "images", "source")
    for name, method in METHODS.items():
        network = "encoder" if method.needs.encoder else "segmenter"
        images = "2D, 3D" if method.needs.volumes else "2D"
        table.add_row(name, method.learns_from, network, images, method.source)
    show(table)
