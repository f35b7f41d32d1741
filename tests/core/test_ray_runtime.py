"""What is said when Ray cannot start or has no room, without starting it."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
import ray
from ray.exceptions import AuthenticationError

from framework.core import ray_runtime
from framework.core.errors import ResourceError
from framework.core.ray_runtime import ray_storage, start_ray
from framework.core.storage import Store

LONG = "validate_socket_filename failed: AF_UNIX path length cannot exceed 107 bytes"


@pytest.fixture
def no_ray(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A session that has none, and an address at which nothing listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{free.getsockname()[1]}")
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray_runtime, "use_token", lambda: None)
    return monkeypatch


def test_the_address_of_a_dead_cluster_is_said_at_once(no_ray: pytest.MonkeyPatch) -> None:
    begun = time.monotonic()
    with pytest.raises(ResourceError, match=r"^RAY_ADDRESS 127.*: no Ray cluster answers there .*ray start"):
        start_ray()
    assert time.monotonic() - begun < 10


def test_another_token_is_said_at_once(no_ray: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    """The token is asked for before Ray's own start, which would try for twenty seconds."""

    def client(address: str) -> None:
        os.write(2, b"gcs_client.cc: Failed to get cluster ID")
        raise AuthenticationError("InvalidAuthToken")

    no_ray.setattr("ray._raylet.GcsClient", client)
    no_ray.setattr(ray, "init", lambda **settings: None)
    with socket.create_server(("127.0.0.1", 0)) as server:
        no_ray.setenv("RAY_ADDRESS", f"127.0.0.1:{server.getsockname()[1]}")
        with pytest.raises(ResourceError, match=r"^RAY_ADDRESS 127.*another token; give ~/.ray/auth_token"):
            start_ray()
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (ConnectionError("Failed to connect to Ray cluster"), "does not let this process in"),
        (OSError(LONG), "^TMPDIR .* is too long for the sockets .*; set TMPDIR=/tmp"),
    ],
)
def test_what_ray_cannot_do_is_one_line(fault: Exception, message: str, no_ray: pytest.MonkeyPatch) -> None:
    def init(**settings: object) -> None:
        raise fault

    no_ray.delenv("RAY_ADDRESS")
    no_ray.setattr(ray, "init", init)
    with pytest.raises(ResourceError, match=message):
        start_ray()


@pytest.mark.parametrize(("token", "mode"), [("a" * 64, "token"), ("", "None")])
def test_a_token_that_is_there_is_used(token: str, mode: str, tmp_path: Path) -> None:
    """In a process of its own: Ray reads its environment once."""
    code = "import os; from framework.core.ray_runtime import use_token; import ray; use_token()"
    code += "; print(os.environ.get('RAY_AUTH_MODE'))"
    environment = {key: value for key, value in os.environ.items() if not key.startswith("RAY_AUTH")}
    environment |= {"HOME": str(tmp_path)}
    if token:
        (tmp_path / ".ray").mkdir()
        (tmp_path / ".ray" / "auth_token").write_text(token)
    ended = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert ended.stdout.strip() == mode, ended.stderr


def test_rays_state_is_private_goes_with_the_run_and_with_dead_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_runtime.tempfile, "tempdir", str(tmp_path))
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    dead, alive = (tmp_path / f"scantseg-ray-{number}-x" for number in (ended.pid, os.getppid()))
    dead.mkdir()
    alive.mkdir()
    with ray_storage(Store.at(tmp_path)) as place:
        assert stat.S_IMODE(os.stat(place).st_mode) == 0o700
        assert not dead.exists() and alive.exists()
    assert sorted(tmp_path.iterdir()) == [alive]
