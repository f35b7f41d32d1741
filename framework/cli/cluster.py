"""The commands `scantseg cluster …`."""

from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Look at descriptions of clusters.")


@app.callback()
def _commands() -> None:
    """Keeps `check` a command of its own while it is the only one."""


@app.command("check")
def check(
    files: Annotated[list[str], typer.Argument(help="Files of `ray up`, or manifests of Kubernetes.")],
) -> None:
    """Say what is wrong with files that describe clusters, and what leaves a cluster open or stuck."""
    from framework.cluster.files import check as findings_of

    findings = {file: findings_of(file) for file in files}
    for file, found in findings.items():
        for finding in found:
            typer.echo(f"{file}: {finding}")
        if not found:
            typer.echo(f"{file}: ok")
    raise typer.Exit(code=1 if any(findings.values()) else 0)
