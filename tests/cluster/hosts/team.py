"""Who uses a cluster of hosts: a bucket that all see, a cluster file, and the commands that are typed."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from framework.core.storage import Store
from tests.cluster.hosts.hosts import GATEWAY, ROOT, Hosts, hosts

BUCKET = "s3://scans"
STORAGE = f"{BUCKET}/team"


@dataclass
class Team:
    """A client beside the hosts, with a home and a project folder of its own."""

    hosts: Hosts
    home: Path
    variables: dict[str, str]

    @property
    def project(self) -> Path:
        return self.home / "project"

    @property
    def cluster(self) -> Path:
        return self.home / "project" / "cluster.yaml"

    @property
    def store(self) -> Store:
        return Store.at(STORAGE)

    def environment(self) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        return kept | self.variables | {"HOME": str(self.home), "PATH": path}

    def write(self, name: str, value: dict[str, Any]) -> None:
        """A description in the project's folder."""
        path = self.project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(value, sort_keys=False))

    def run(self, *words: str, timeout: float = 600) -> subprocess.CompletedProcess[str]:
        """A command at its end, whatever its exit code."""
        return subprocess.run(
            words, cwd=self.project, env=self.environment(), capture_output=True, text=True, timeout=timeout
        )

    def scantseg(self, *words: str, timeout: float = 600) -> subprocess.CompletedProcess[str]:
        return self.run(sys.executable, "-m", "framework.cli", *words, timeout=timeout)

    def must(self, ended: subprocess.CompletedProcess[str]) -> str:
        assert ended.returncode == 0, f"{ended.args}:\n{ended.stdout[-3000:]}\n{ended.stderr[-3000:]}"
        return ended.stdout + ended.stderr

    def submit(self, *words: str, retry: int = 0) -> Job:
        """Send a command to the cluster, and follow it in a process of its own."""
        log = self.home / f"{'-'.join(words[:2]).replace('/', '-')}-{secrets.token_hex(2)}.log"
        options = ["--cluster", str(self.cluster), "--storage", STORAGE, "--retry", str(retry)]
        command = [sys.executable, "-m", "framework.cli", "submit", *options, "--", *words]
        with log.open("wb") as out:
            process = subprocess.Popen(
                command, cwd=self.project, env=self.environment(), stdout=out, stderr=out
            )
        return Job(process, log, time.monotonic())


@dataclass
class Job:
    """A command on the cluster, seen from the client."""

    process: subprocess.Popen[bytes]
    log: Path
    begun: float

    @property
    def text(self) -> str:
        return self.log.read_text(errors="replace")

    def until(self, happened: Callable[[], bool], timeout: float = 300) -> float:
        """Wait for something to happen while the job runs; gives the seconds since it was sent."""
        while not happened():
            assert self.process.poll() is None, f"ended before it happened:\n{self.text[-3000:]}"
            assert time.monotonic() < self.begun + timeout, f"did not happen:\n{self.text[-3000:]}"
            time.sleep(0.2)
        return time.monotonic() - self.begun

    def end(self, timeout: float = 600) -> str:
        """What a job has said that ended well."""
        assert self.process.wait(timeout) == 0, self.text[-4000:]
        return self.text


def cluster_file(team: Team) -> dict[str, Any]:
    """The on-premises file of the project, with the hosts' own places in it."""
    value = yaml.safe_load((ROOT / "cluster" / "onprem.yaml").read_text())
    addresses = [team.hosts.address(number) for number in range(1, team.hosts.count + 1)]
    value["provider"] |= {"head_ip": addresses[0], "worker_ips": addresses[1:]}
    value["auth"] = {"ssh_user": "root", "ssh_private_key": str(team.hosts.key)}
    value["initialization_commands"] = [f"ln -sfn {sys.prefix} ~/scantseg-environment"]
    return value


@contextlib.contextmanager
def team(count: int, folder: Path, secret: str = "testing") -> Iterator[Team]:
    """Hosts, a bucket that they and the client reach by a secret, and the client; all end with the block."""
    import boto3
    from moto.server import ThreadedMotoServer

    shutil.rmtree(folder, ignore_errors=True)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    variables = {
        "AWS_ENDPOINT_URL": f"http://{GATEWAY}:{port}",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": secret,
        "AWS_DEFAULT_REGION": "us-east-1",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(ROOT),
    }
    with hosts(count, folder, variables) as made:
        server = ThreadedMotoServer(GATEWAY, port=port, verbose=False)
        server.start()
        os.environ.update(variables)
        boto3.client("s3").create_bucket(Bucket=BUCKET.removeprefix("s3://"))
        home = folder / "client"
        (home / ".ray").mkdir(parents=True, mode=0o700)
        (home / ".ray" / "auth_token").write_text(secrets.token_hex(32))
        (home / ".ray" / "auth_token").chmod(0o600)
        used = Team(made, home, variables)
        used.project.mkdir()
        used.write("cluster.yaml", cluster_file(used))
        try:
            yield used
        finally:
            server.stop()
