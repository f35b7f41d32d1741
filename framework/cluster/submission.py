"""Jobs on a cluster: what is sent, how it is followed, and what becomes of one that fails."""

import asyncio
import json
import os
import shlex
import tempfile
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from framework.cluster.link import Link
from framework.cluster.package import Package, pack
from framework.core.addresses import STORAGE
from framework.core.callbacks import Log
from framework.core.errors import ConfigError, ResourceError
from framework.core.lock import ATTEMPT, JOB
from framework.core.storage import Store
from framework.core.versions import CLIENT, versions

STOP_S = 120
"""Seconds that a stopped job gets to save: Ray's own three are too few for a checkpoint."""
AGAIN_S, GIVEN_UP_S = 2.0, 600.0
"""Seconds between two tries to find a cluster again, and after which it counts as gone."""
DESCRIPTION = (".yaml", ".yml")
"""How names of descriptions end."""
STOPPED = 143
"""Exit code of a job that was stopped, as after SIGTERM."""


@dataclass(frozen=True)
class Submission:
    """A command of scantseg that is to run on a cluster."""

    words: tuple[str, ...]
    storage: str | None
    """Folder or bucket that every node sees: relative paths of the command lie there."""
    name: str

    @classmethod
    def of(cls, words: Sequence[str], storage: str | None) -> "Submission":
        """`words` are a verb and what follows it, or a description and then those. Raises `ConfigError`, or
        `StorageError` for a storage that is no address."""
        first, *rest = words
        if first.endswith(DESCRIPTION) and rest:  # CONFIG -- VERB …
            words = [rest[0], first, *rest[1:]]
        described = [word for word in words if word.endswith(DESCRIPTION)]
        if outside := [word for word in described if _is_outside(word)]:
            mend = "submit from the folder that holds it"
            raise ConfigError(f"{outside[0]}: is not below this folder, so that no job would see it; {mend}")
        if missing := [word for word in described if not Path(word).exists()]:
            raise ConfigError(f"{missing[0]}: no such configuration file; check the path")
        what = Path(described[0]).stem if described else "job"
        address = Store.at(storage).url if storage else None
        return cls(tuple(words), address, f"{words[0]}-{what}-{uuid.uuid4().hex[:8]}")

    def attempt_id(self, number: int) -> str:
        """Ray refuses an id that was used, so each attempt has one of its own."""
        return self.name if number == 1 else f"{self.name}-attempt-{number}"

    def environment(self, number: int) -> dict[str, str]:
        """The environment variables of an attempt; nothing of this machine's goes with them."""
        storage = {STORAGE: self.storage} if self.storage else {}
        own = {JOB: self.name, ATTEMPT: str(number), CLIENT: json.dumps(versions())}
        return {**storage, **own, "RAY_JOB_STOP_WAIT_TIME_S": str(STOP_S), "PYTHONUNBUFFERED": "1"}


def submit(link: Link, submission: Submission, retries: int, log: Log) -> int:
    """Send a job and follow it to its end; gives its exit code. One that fails is sent again, at most
    `retries` times: it then goes on from its last checkpoint."""
    number = 1
    with tempfile.TemporaryDirectory() as folder:
        package = pack(Path.cwd(), Path(folder))
        log(f"taking along {package}: code and configurations below this folder, no data")
        while (code := _attempt(link, submission, number, package, log)) not in (0, STOPPED):
            number += 1
            if number > retries + 1:
                break
            log(f"the job ended with code {code}; attempt {number} of {retries + 1} goes on from there")
    return code


def _attempt(link: Link, submission: Submission, number: int, package: Package, log: Log) -> int:
    job = send(link, submission, number, package)
    log(f"job: {job} (follow it again: scantseg jobs follow {job}; it goes on without this process)")
    log(f"dashboard: {link.address}/#/jobs/{job}")
    return follow(link, job, log)


def send(link: Link, submission: Submission, number: int, package: Package) -> str:
    """Send one attempt; gives its id."""
    environment = {"working_dir": str(package.folder), "env_vars": submission.environment(number)}
    client = link.client()
    try:
        return client.submit_job(
            entrypoint=shlex.join(["python", "-m", "framework.cli", *submission.words]),
            submission_id=submission.attempt_id(number),
            runtime_env=environment,
        )
    except RuntimeError as error:
        fault = str(error).strip().splitlines()[-1][:300]
        raise ResourceError(f"{link.address}: the cluster refuses the job ({fault})") from None


def follow(link: Link, job: str, log: Log) -> int:
    """Write a job's output as it comes, from its beginning; gives its exit code when it has ended.

    A lost connection is made again: what was shown is not shown twice. Raises `ResourceError` where the
    cluster does not come back, or does not know the job.
    """
    output, lost_at = _Output(log), None
    _require_known(link.client(), job)
    while True:
        shown = output.shown
        try:
            client = link.client()
            asyncio.run(output.follow(client, job))
            info = client.get_job_info(job)
            if info.status.is_terminal():
                return _exit_code(info, log)
        except (ResourceError, RuntimeError, OSError) as error:
            lost_at = _still_lost(None if output.shown > shown else lost_at, error, log)
        time.sleep(AGAIN_S)


def stop(link: Link, job: str) -> None:
    """Tell a job to stop; raises `ConfigError` where the cluster does not know it."""
    client = link.client()
    _require_known(client, job)
    client.stop_job(job)


class _Output:
    """A job's output, of which every whole line is shown once, however often the connection is made."""

    def __init__(self, log: Log) -> None:
        self.log, self.shown = log, 0

    async def follow(self, client: Any, job: str) -> None:
        seen, rest = 0, ""
        async for text in client.tail_job_logs(job):  # from the beginning
            *lines, rest = (rest + text).split("\n")
            for line in lines[max(0, self.shown - seen) :]:
                self.log(line)
            seen += len(lines)
            self.shown = max(self.shown, seen)
        if rest:
            self.log(rest)


def _still_lost(lost_at: float | None, error: Exception, log: Log) -> float:
    now = time.monotonic()
    if lost_at is None:
        log("the connection to the cluster is lost; the job goes on, and is looked for")
        return now
    if now - lost_at > GIVEN_UP_S:
        raise error
    return lost_at


def _require_known(client: Any, job: str) -> None:
    known = {info.submission_id for info in client.list_jobs()}
    if job not in known:
        raise ConfigError(f"job '{job}': not known to the cluster; `scantseg jobs list` shows those it has")


def _exit_code(info: Any, log: Log) -> int:
    """A job's own exit code; what Ray says where there is none."""
    if info.status == "SUCCEEDED":
        return 0
    if info.status == "STOPPED":
        log(f"job {info.submission_id} was stopped")
        return STOPPED
    if info.driver_exit_code is None:
        log(f"job {info.submission_id}: {' '.join((info.message or 'failed').split())[:300]}")
    return info.driver_exit_code or 1


def _is_outside(path: str) -> bool:
    return not Path(os.path.abspath(path)).is_relative_to(Path.cwd())
