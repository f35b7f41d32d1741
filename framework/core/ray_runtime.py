"""Ray's start, what its processes own, and where it keeps its own state."""

import contextlib
import logging
import os
import signal
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass

from framework.core.errors import ResourceError
from framework.core.storage import Store


@dataclass(frozen=True)
class Processes:
    """So many processes of a job, and what each of them owns."""

    count: int
    cpus: int = 1
    gpu: bool = False

    @property
    def resources(self) -> dict[str, float]:
        """What one process owns, by Ray's names."""
        return {"CPU": self.cpus, **({"GPU": 1} if self.gpu else {})}

    def require(self, setting: str) -> None:
        """Raise `ResourceError` where Ray would wait for ever; the key `setting` says how many there are."""
        import ray

        present = ray.cluster_resources()
        for kind, each in self.resources.items():
            wanted = each * self.count
            if wanted > present.get(kind, 0):
                needs = f"{self.count} processes of {each:g} {kind} want {wanted:g} {kind}"
                has = f"the cluster has {present.get(kind, 0):g}"
                raise ResourceError(f"{setting}: {needs}, {has}; lower {setting}")


def start_ray() -> None:
    """Join the cluster of the environment (a submitted job, `ray start`), or start one on this machine."""
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
    with _handlers_kept():
        ray.init(log_to_driver=False, logging_level=logging.ERROR, configure_logging=True)


@contextlib.contextmanager
def _handlers_kept() -> Iterator[None]:
    """Put the handler of SIGTERM back after the block, where Ray has set one that ends with code 15."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, before)


def ray_storage(store: Store) -> str:
    """Where Ray keeps its own small state; checkpoints are ours and do not go there."""
    return f"{store.url}/ray" if not store.is_local else os.path.join(tempfile.gettempdir(), "scantseg-ray")
