"""Every job of the registry as a command: its places, its settings as options, what it says at the end."""

import inspect
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import typer

from framework.cli.options import options, parameter, values
from framework.cli.progress import progress
from framework.core.artifact import summary
from framework.core.config_files import parse
from framework.labelling.job import Job, make
from framework.labelling.registry import JOBS


def add_jobs(app: typer.Typer) -> None:
    """Give the command line a command for every job, with the first paragraph of its docstring as help."""
    for job in JOBS.values():
        app.command(job.name, help=(job.__doc__ or "").split("\n\n")[0])(command(job))


def command(job: type[Job]) -> Callable[..., None]:
    """What runs a job; the command line reads its signature."""

    def run(corpus: str, layer: str, **given: Any) -> None:
        sources = {role: given.pop(role) for role in job.reads}
        config = parse(values(job.Config, given), job.Config, f"scantseg {job.name}")
        with progress(job.name) as on_progress:
            out = make(job, config, corpus, layer, on_progress, **sources)
        typer.echo(f"{job.kind}: {out.url} ({summary(out)})")

    parameters = [*_places(job), *options(job.Config)]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {each.name: each.annotation for each in parameters}
    return run


def _places(job: type[Job]) -> Iterator[inspect.Parameter]:
    """MODEL or FOLDER, CORPUS, `--maps`, `--layer`."""
    helps = {role: source.help for role, source in job.reads.items()} | {"corpus": "Folder of the corpus."}
    maps = helps.pop("maps", "")
    for role, text in helps.items():
        yield parameter(role, Annotated[str, typer.Argument(help=text)])
    if maps:
        yield parameter("maps", Annotated[str, typer.Option(help=maps)])
    yield parameter("layer", Annotated[str, typer.Option(help=f"Name of the {job.kind} to write.")])
