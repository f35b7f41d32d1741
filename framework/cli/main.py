"""The command `scantseg`. Heavy imports wait inside the commands, so that help answers at once."""

import signal
import sys

import typer

from framework.cli import corpus, jobs, results, training
from framework.core.errors import ScantsegError

INTERRUPTED, TERMINATED = 130, 143
"""Exit codes after Ctrl-C and after SIGTERM, by the convention of shells: 128 + the signal."""

# Plain help, no pretty stack traces: to render them would cost a third of the time that help may take.
app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
    help="Medical image segmentation with few masks and many images.",
)
app.add_typer(corpus.app, name="corpus")
for verb in (training.train, training.run):
    app.command()(verb)
jobs.add_jobs(app)
for verb in (results.evaluate_maps, results.evaluate, results.report):
    app.command()(verb)
for verb in (training.tune, training.compare, training.methods):
    app.command()(verb)


def main(*words: str) -> None:
    """Run the command line, `words` before its arguments; what can be mended is one line and exit code 1."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))  # cleans up, as after Ctrl-C
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
