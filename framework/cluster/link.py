"""The way to a cluster's job server: an address, or a tunnel to the head of a cluster file."""

import contextlib
import logging
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from framework.core.errors import ResourceError, without_secrets
from framework.core.ray_runtime import use_token
from framework.core.versions import versions

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

PORT = 8265
"""Of Ray's dashboard and job server."""
OPENED_S = 60.0
"""Seconds in which a tunnel has to be open."""


class Link:
    """A way to the job server, which may break and be made again."""

    def __init__(self, cluster: str) -> None:
        """`cluster` is a file for `ray up`, or `HOST:PORT` or a URL of a job server."""
        self.file = Path(cluster) if cluster.endswith((".yaml", ".yml")) else None
        self.address = cluster if "://" in cluster else f"http://{cluster}"
        self._tunnel: subprocess.Popen[bytes] | None = None
        self._closing = contextlib.ExitStack()
        if self.file and not self.file.exists():
            raise ResourceError(f"{cluster}: no such cluster file; give one, or the address of a dashboard")
        for variable in ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS"):
            os.environ.pop(variable, None)  # else Ray would go there
        use_token()
        logging.disable(logging.INFO)  # Ray's client tells of packages and sockets

    def client(self) -> "JobSubmissionClient":
        """A client of the job server. Raises `ResourceError` where none answers, where it knows another token
        than ours, or where it has another Ray."""
        from ray.exceptions import AuthenticationError
        from ray.job_submission import JobSubmissionClient

        if self.file and (self._tunnel is None or self._tunnel.poll() is not None):
            self._open(self.file)
        shown = without_secrets(self.address)
        try:
            client = JobSubmissionClient(self.address)
            there = str(client._server_ray_version)  # that of its interface alone is public
        except AuthenticationError:
            mend = "give ~/.ray/auth_token the cluster's token, or RAY_AUTH_TOKEN"
            raise ResourceError(f"{shown}: the cluster has another token; {mend}") from None
        except (ConnectionError, OSError, RuntimeError, ValueError) as error:
            mend = f"start a cluster with `ray up FILE`, or open a tunnel to port {PORT} of its head"
            raise ResourceError(f"{shown}: no job server answers ({_first_line(error)}); {mend}") from None
        if there != (here := versions()["ray"]):
            fault = f"the cluster has Ray {there}, and this machine {here}"
            raise ResourceError(f"{shown}: {fault}; install the cluster's here, or change its file")
        return client

    def close(self) -> None:
        self._closing.close()

    def _open(self, file: Path) -> None:
        """Open a tunnel to the head's dashboard, which listens there for that machine alone."""
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        words = [sys.executable, "-m", "ray.scripts.scripts", "dashboard", str(file), "--port", str(port)]
        with tempfile.NamedTemporaryFile(prefix="scantseg-tunnel-", delete=False) as told:
            self._tunnel = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=told, stderr=told)
        self._closing.callback(_end, self._tunnel, told.name)
        self.address, end = f"http://127.0.0.1:{port}", time.monotonic() + OPENED_S
        while not _listens(port):
            if self._tunnel.poll() is not None or time.monotonic() > end:
                fault = f"no tunnel to the cluster's head ({_last_line(told.name)})"
                raise ResourceError(f"{file}: {fault}; is it up? `ray up {file}`")
            time.sleep(0.2)


@contextlib.contextmanager
def linked(cluster: str) -> Iterator[Link]:
    """A link that is closed after the block."""
    link = Link(cluster)
    try:
        yield link
    finally:
        link.close()


def _listens(port: int) -> bool:
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0


def _end(tunnel: subprocess.Popen[bytes], told: str) -> None:
    tunnel.terminate()
    tunnel.wait()
    os.remove(told)


def _last_line(path: str) -> str:
    lines = Path(path).read_text(errors="replace").strip().splitlines()
    return lines[-1][:160] if lines else "nothing was said"


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:160]
