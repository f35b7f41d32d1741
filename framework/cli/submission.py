"""The commands that send work to a cluster and look after it."""

from typing import Annotated, Optional

import typer

from framework.cli.terminal import show
from framework.core.errors import ConfigError, nearest

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="List, follow and stop jobs of a cluster."
)
Cluster = Annotated[str, typer.Option(help="File of `ray up`, or address of a dashboard.")]
Id = Annotated[str, typer.Argument(help="Id of a job, as `submit` and `list` show it.")]
Words = Annotated[list[str], typer.Argument(help="A command of scantseg, after --: train configs/mine.yaml")]
Storage = Annotated[
    Optional[str],
    typer.Option(help="Folder or bucket that all nodes see, such as s3://scans: relative paths lie there."),
]
Retry = Annotated[int, typer.Option(help="How often a job that failed is tried again.", min=0)]

LOCAL = "127.0.0.1:8265"


def submit(
    context: typer.Context, words: Words, cluster: Cluster = LOCAL, storage: Storage = None, retry: Retry = 0
) -> None:
    """Run a command of scantseg on a cluster: scantseg submit --cluster FILE -- train configs/mine.yaml."""
    from framework.cluster.link import linked
    from framework.cluster.submission import Submission
    from framework.cluster.submission import submit as send_and_follow

    submission = Submission.of(words, storage)
    known = context.find_root().command.commands  # type: ignore[attr-defined]
    if (verb := submission.words[0]) not in known:
        raise ConfigError(f"'{verb}': no command of scantseg{nearest(verb, known)}")
    with linked(cluster) as link:
        raise typer.Exit(send_and_follow(link, submission, retry, typer.echo))


@app.command("list")
def list_jobs(cluster: Cluster = LOCAL) -> None:
    """List the jobs that a cluster knows, the newest last."""
    from rich.table import Table

    from framework.cluster.link import linked

    table = Table("job", "state", "started", "command")
    with linked(cluster) as link:
        for info in sorted(link.client().list_jobs(), key=lambda info: info.start_time or 0):
            words = info.entrypoint.removeprefix("python -m framework.cli ")
            table.add_row(info.submission_id or info.job_id, str(info.status), _time(info.start_time), words)
    show(table)


@app.command("follow")
def follow_job(job: Id, cluster: Cluster = LOCAL) -> None:
    """Show a job's output from its beginning and as it comes; ends with the job's exit code."""
    from framework.cluster.link import linked
    from framework.cluster.submission import follow

    with linked(cluster) as link:
        raise typer.Exit(follow(link, job, typer.echo))


@app.command("stop")
def stop_job(job: Id, cluster: Cluster = LOCAL) -> None:
    """Stop a job: a training saves a checkpoint first."""
    from framework.cluster.link import linked
    from framework.cluster.submission import stop

    with linked(cluster) as link:
        stop(link, job)
        typer.echo(f"job {job} is told to stop; a training saves a checkpoint first")


def _time(milliseconds: int | None) -> str:
    from datetime import datetime

    return "" if milliseconds is None else f"{datetime.fromtimestamp(milliseconds / 1000):%Y-%m-%d %H:%M:%S}"


def doctor(storage: Storage = None) -> None:
    """Look for what may be wrong here or, in a job, on all nodes of the cluster, each with its mend."""
    from framework.cluster.doctor import examine_cluster, lines
    from framework.core.ray_runtime import start_ray
    from framework.core.storage import Store

    start_ray()
    address = Store.at(storage).url if storage else None
    nodes, apart = examine_cluster(address)
    told = lines(nodes, address, apart)
    for line in told:
        typer.echo(str(line))
    raise typer.Exit(any(line.mend for line in told))
