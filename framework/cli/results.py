"""The commands that look at what was made: scores and reports."""

from __future__ import annotations

from typing import Annotated, Optional

import typer


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


def report(
    sources: Annotated[list[str], typer.Argument(help="Folders of runs, models, layers or evaluations.")],
    out: Annotated[str, typer.Option(help="The HTML file to write.")] = "report.html",
) -> None:
    """Write one offline HTML file about runs."""
    from framework.core.storage import Store
    from framework.reporting.report import write_report

    typer.echo(f"report: {write_report([Store.at(source) for source in sources], out)}")
