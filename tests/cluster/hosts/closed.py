"""Who gets in without the token, and what may be read by those who look: nobody, and no secret."""

from __future__ import annotations

import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator

from framework.core.callbacks import Log
from tests.cluster.hosts.team import Team

CREDENTIALS = {"no token": None, "a wrong token": "b" * 64}
PAGES = ("/api/jobs/", "/nodes?view=summary", "/api/v0/nodes", "/logs?node_id=x", "/api/cluster_status")
AGENT = 52365
"""Port of the dashboard's agent on every node."""


def closed(team: Team, log: Log) -> int:
    """Try every port with every credential; gives how many tries were refused. Fails where one gets in."""
    tries = [*_remote(team), *_dashboard(team), *_control(team)]
    for where, credential, answer in tries:
        log(f"  {where:34} {credential:14} {answer}")
    let_in = [each for each in tries if each[2].startswith("LET IN")]
    assert not let_in, let_in
    return len(tries)


def _remote(team: Team) -> Iterator[tuple[str, str, str]]:
    """From another machine: the dashboard listens for its own host alone, the agents want the token."""
    for number in range(1, team.hosts.count + 1):
        for port in (8265, AGENT):
            for named, token in CREDENTIALS.items():
                address = f"http://{team.hosts.address(number)}:{port}/api/jobs/"
                yield f"host{number}:{port}/api/jobs", named, _get(address, token)


def _dashboard(team: Team) -> Iterator[tuple[str, str, str]]:
    """On the head itself, as through a tunnel."""
    for page in PAGES:
        for named, token in CREDENTIALS.items():
            header = f"-H 'Authorization: Bearer {token}'" if token else ""
            code = team.hosts.ssh(
                1, f"curl -s -o /dev/null -w '%{{http_code}}' {header} 'http://127.0.0.1:8265{page}'"
            )
            answer = code.stdout.strip()
            yield (
                f"dashboard {page}",
                named,
                f"refused ({answer})" if answer in ("401", "403") else f"LET IN ({answer})",
            )


CONTROL = """
from ray._raylet import GcsClient
print(GcsClient(address="{address}").internal_kv_keys(b"", namespace=b"job", timeout=5))
"""
CLIENT = """
import ray
ray.init("ray://{host}:10001", logging_level="ERROR"); print(ray.nodes())
"""
JOIN = """
import ray
ray.init("{address}", logging_level="CRITICAL", log_to_driver=False); print(ray.nodes())
"""


def _control(team: Team) -> Iterator[tuple[str, str, str]]:
    """The control service, Ray's client server and joining as a driver, from another machine."""
    host = team.hosts.address(1)
    places = {"control service :6379": CONTROL, "driver :6379": JOIN, "client server :10001": CLIENT}
    for where, code in places.items():
        for named, token in CREDENTIALS.items():
            environment = {k: v for k, v in team.environment().items() if not k.startswith("RAY_")}
            environment |= {"HOME": "/nonexistent"} | (
                {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token} if token else {}
            )
            words = [sys.executable, "-c", code.format(address=f"{host}:6379", host=host)]
            yield where, named, _ended(words, environment)


def _ended(words: list[str], environment: dict[str, str]) -> str:
    try:
        ended = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=60)
    except subprocess.TimeoutExpired:
        return "refused (no answer)"
    last = ended.stderr.strip().splitlines()[-1][:60] if ended.stderr.strip() else ""
    return f"refused ({last})" if ended.returncode else f"LET IN ({ended.stdout.strip()[:60]})"


def _get(address: str, token: str | None) -> str:
    request = urllib.request.Request(address, headers={"Authorization": f"Bearer {token}"} if token else {})
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return _judged(answer.status)
    except urllib.error.HTTPError as error:
        return _judged(error.code)
    except (urllib.error.URLError, OSError) as error:
        return f"refused ({getattr(error, 'reason', error)})"


def _judged(code: int) -> str:
    return f"refused ({code})" if code in (401, 403) else f"LET IN ({code})"
