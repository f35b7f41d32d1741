"""Ray's start and end, and where it keeps its own state."""

import atexit
import contextlib
import importlib
import logging
import os
import shutil
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from framework.core.errors import ResourceError
from framework.core.storage import Store

SCRATCH = "scantseg-ray-"
"""Begins the names of the folders of Ray's own state; the number of the process that made one follows."""
ANSWER_S, STRAY_S = 5.0, 5.0
"""Seconds in which a cluster has to answer, and that a process of one that has ended gets to end."""


def start_ray() -> None:
    """Join the cluster of the environment (a submitted job, `ray start`), or start one on this machine.

    Raises `ResourceError` for a cluster that is not there or does not know the token, and where sockets do
    not fit.
    """
    import ray

    if ray.is_initialized():
        return
    os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.2")
    # A rank that waits for one that has failed cannot take leave of it: its process is ended.
    os.environ.setdefault("TORCH_PROCESS_GROUP_SHUTDOWN_TIMEOUT_S", "3")
    # Workers are the job itself: at Ray's default of 15 a busy program leaves them a thirtieth of a core.
    os.environ.setdefault("RAY_worker_niceness", "0")
    # What fails reaches us as an exception; Ray's C++ layer calls more than that an error.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    with _handlers_kept(), _explained(), _native_lines_hidden():
        use_token()
        _require_answer(os.environ.get("RAY_ADDRESS", ""))
        ray.init(log_to_driver=False, logging_level=logging.ERROR, configure_logging=True)
    atexit.register(end_ray)


def end_ray() -> None:
    """Leave the cluster, and end its processes where this one started it: a controller may wait for ever for
    a cluster that has gone. Nothing happens where Ray has not been started."""
    import psutil

    ray = sys.modules.get("ray")
    if ray is not None and ray.is_initialized():
        below = psutil.Process().children(recursive=True)
        ray.shutdown()
        ours = [each for each in below if each.is_running() and _name(each).startswith("ray::")]
        for stray in psutil.wait_procs(ours, timeout=STRAY_S)[1]:
            with contextlib.suppress(psutil.NoSuchProcess):
                stray.kill()


def _name(process: Any) -> str:
    import psutil

    try:
        return " ".join(process.cmdline())
    except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
        return ""


def _require_answer(address: str) -> None:
    """Raise where nothing listens, or where our token is not the cluster's: Ray itself waits for two minutes,
    and then ends the process, or for twenty seconds."""
    from ray.exceptions import AuthenticationError

    raylet = importlib.import_module("ray._raylet")
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        return
    try:
        socket.create_connection((host.rpartition("//")[2], int(port)), ANSWER_S).close()
        raylet.GcsClient(address=address)
    except OSError as error:
        fault = f"no Ray cluster answers there ({error.strerror or error})"
        mend = "start one with `ray start --head`, or unset RAY_ADDRESS for one of this machine"
        raise ResourceError(f"RAY_ADDRESS {address}: {fault}; {mend}") from None
    except AuthenticationError:
        fault = "the Ray cluster there has another token"
        mend = "give ~/.ray/auth_token the cluster's token, or RAY_AUTH_TOKEN"
        raise ResourceError(f"RAY_ADDRESS {address}: {fault}; {mend}") from None


def has_token() -> bool:
    """Whether this user has a token of a cluster, in the environment or a file."""
    raylet = importlib.import_module("ray._raylet")
    return raylet.AuthenticationTokenLoader.instance().has_token(ignore_auth_mode=True)


def use_token() -> None:
    """Where there is a token, use it, as `ray start` does: a cluster that has one answers nobody else."""
    if has_token() and "RAY_AUTH_MODE" not in os.environ:
        os.environ["RAY_AUTH_MODE"] = "token"
        raylet = importlib.import_module("ray._raylet")
        raylet.Config.initialize("")  # Ray read its environment when it was imported


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    """What goes wrong at Ray's start in one line."""
    try:
        yield
    except ConnectionError:
        fault = "the Ray cluster there does not let this process in: it is ending, or not one"
        raise ResourceError(f"RAY_ADDRESS {os.environ.get('RAY_ADDRESS')}: {fault}") from None
    except OSError as error:
        if "AF_UNIX" not in str(error):
            raise
        fault = "is too long for the sockets that Ray makes below it"
        raise ResourceError(f"TMPDIR {tempfile.gettempdir()}: {fault}; set TMPDIR=/tmp") from None


@contextlib.contextmanager
def _native_lines_hidden() -> Iterator[None]:
    """Hide what Ray's C++ layer writes to stderr in the block, before it knows its level."""
    sys.stderr.flush()
    kept = os.dup(2)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


@contextlib.contextmanager
def _handlers_kept() -> Iterator[None]:
    """Put the handler of SIGTERM back after the block, where Ray has set one that ends with code 15."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def ray_storage(store: Store) -> Iterator[str]:
    """Where Ray keeps its own small state of a run; checkpoints are ours and do not go there.

    Beside a local store it is this user's alone and goes with the block; those of processes that were killed
    go too.
    """
    if not store.is_local:
        yield f"{store.url}/ray"
        return
    _sweep()
    prefix = f"{SCRATCH}{os.getpid()}-"
    with tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True) as folder:
        yield folder


def _sweep() -> None:
    import psutil

    for path in Path(tempfile.gettempdir()).glob(f"{SCRATCH}*"):
        process = path.name.removeprefix(SCRATCH).partition("-")[0]
        if process.isdigit() and path.stat().st_uid == os.getuid() and not psutil.pid_exists(int(process)):
            shutil.rmtree(path, ignore_errors=True)
