"""The command `scantseg`. Heavy imports wait inside the commands, so that help answers at once."""

import os
import shlex
import signal
import sys
from typing import NoReturn

import typer

from framework.cli import cluster, corpus, jobs, results, submission, training
from framework.core.errors import ScantsegError
from framework.core.interruption import Interrupted
from framework.core.ray_runtime import end_ray
from framework.core.versions import require_clients

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
for verb in (results.evaluate_maps, results.evaluate, results.report, results.verify):
    app.command()(verb)
for verb in (training.tune, training.compare, training.methods):
    app.command()(verb)
app.add_typer(cluster.app, name="cluster")
for verb in (submission.submit, submission.doctor):
    app.command()(verb)
app.add_typer(submission.app, name="jobs")


def main(*words: str) -> None:
    """Run the command line, `words` before its arguments; what can be mended is one line and exit code 1."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))  # cleans up, as after Ctrl-C
    try:
        require_clients()
        app(args=[*words, *sys.argv[1:]])
    except ScantsegError as error:
        line = str(error).replace("\n", " ")  # what a message quotes, such as an id, may hold anything
        typer.secho(f"error: {line}", fg="red", err=True)
        sys.exit(1)
    except Interrupted as end:
        end_ray()
        _end(128 + end.signal, f" after step {end.step}, which is saved")
    except SystemExit as end:  # typer turns Ctrl-C into this exit code and says nothing
        if end.code in (INTERRUPTED, TERMINATED):
            _end(end.code)
        raise


def _end(code: int, when: str = "") -> NoReturn:
    """Say what continues, and end without the interpreter's teardown, which waits for threads that may hang,
    and beside Ray's aborts now and then."""
    what = "interrupted" if code == INTERRUPTED else "terminated"
    typer.secho(f"{what}{when}; to continue: {_typed()}", fg="yellow", err=True)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _typed() -> str:
    """This process's command line as it was typed, `scantseg …` or `python …`."""
    script, *words = sys.argv
    if os.path.basename(script) == "scantseg":
        return shlex.join(["scantseg", *words])
    return shlex.join(["python", *sys.orig_argv[1:]])
