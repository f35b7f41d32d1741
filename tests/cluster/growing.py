"""A cluster that begins with a head that does no work: `python -m tests.cluster.growing [VERB …]`.

Ray's own autoscaler starts nodes when they are asked for; its provider makes them processes of this machine.
Each verb asks for a kind of node that no other wants, so that each of them waits.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil

MARK = "SCANTSEG_GROWING"
"""Entry of the environment that all processes of the cluster inherit."""
UNUSED: tuple[tuple[str, Any], ...] = (
    *(("auth", {}), ("docker", {}), ("file_mounts", {}), ("cluster_synced_files", [])),
    *(("initialization_commands", []), ("setup_commands", []), ("file_mounts_sync_continuously", False)),
    *(("head_setup_commands", []), ("worker_setup_commands", []), ("rsync_exclude", [])),
    *(("head_start_ray_commands", []), ("worker_start_ray_commands", []), ("rsync_filter", [])),
)
"""Keys that a cluster's file has to have, of which this provider uses none."""
STORE = 100_000_000
"""Bytes of each node's object store."""


@contextlib.contextmanager
def growing_cluster(folder: Path, kinds: dict[str, dict[str, float]]) -> Iterator[str]:
    """A head without processors and no other node; `kinds` are the nodes that may come, one of each. Gives
    its address, and ends its processes, those of its nodes too."""
    with socket.socket() as free:
        free.bind(("", 0))
        port = free.getsockname()[1]
    (folder / "cluster.json").write_text(json.dumps(_described(port, kinds)))
    environment = os.environ | {MARK: str(folder), "RAY_FAKE_CLUSTER": "1", "RAY_worker_niceness": "0"}
    environment |= {"RAY_enable_autoscaler_v2": "0", "AUTOSCALER_UPDATE_INTERVAL_S": "1"}
    command = [Path(sys.executable).with_name("ray"), "start", "--head", f"--port={port}", "--num-cpus=0"]
    command += [f"--temp-dir={folder}/ray", f"--autoscaling-config={folder}/cluster.json"]
    command += ["--include-dashboard=false", f"--object-store-memory={STORE}", "--resources", '{"driver": 8}']
    try:
        subprocess.run(command, env=environment, check=True, capture_output=True)
        yield f"{_own_address()}:{port}"
    finally:
        _end_marked(str(folder))


def _own_address() -> str:
    import ray

    return ray.util.get_node_ip_address()


def _described(port: int, kinds: dict[str, dict[str, float]]) -> dict[str, Any]:
    types: dict[str, Any] = {"head": {"resources": {"driver": 8}, "max_workers": 0}}
    for name, resources in kinds.items():
        types[name] = {"resources": {"object_store_memory": STORE, **resources}, "max_workers": 1}
    provider = {"type": "fake_multinode", "gcs_address": f"{_own_address()}:{port}"}
    switches = ("use_node_id_as_ip", "disable_node_updaters", "disable_launch_config_check")
    return {
        **dict(UNUSED),
        "cluster_name": "growing",
        "max_workers": len(kinds),
        "idle_timeout_minutes": 5,
        "provider": provider | dict.fromkeys(switches, True),
        "available_node_types": {name: {"node_config": {}, **kind} for name, kind in types.items()},
        "head_node_type": "head",
    }


def _end_marked(mark: str) -> None:
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.pid != os.getpid() and process.environ().get(MARK) == mark:
                process.kill()


class Told:
    """What is printed to stderr, which goes on its way."""

    def __init__(self, way: Any) -> None:
        self.way, self.text = way, ""

    def write(self, text: str) -> int:
        self.text += text
        return self.way.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.way, name)


def tell(folder: Path, corpus: str, verbs: list[str]) -> str:
    """Run the verbs on the cluster of the environment; gives the line of the result."""
    from framework.core.errors import ResourceError
    from framework.training.run import train

    said = Told(sys.stderr)
    finished = 0
    with contextlib.redirect_stderr(said):  # type: ignore[type-var]
        try:
            train(_run(corpus, folder / "refused", workers=9, resources={"train": 1}))
        except ResourceError as error:
            print(error, file=sys.stderr)
        for verb in verbs:
            VERBS[verb](folder, corpus)
            finished += 1
            print(f"{verb}: finished", file=sys.stderr)
    refused = said.text.count("lower compute.workers")
    waited = sum("waiting for" in line and "starting nodes" in line for line in said.text.splitlines())
    return f"RESULT {waited=} {refused=} {finished=}"


def _run(corpus: str, out: Path, **compute: Any) -> Any:
    from tests.contract.support import tiny_run

    compute = {"workers": 1, "resources": {"train": 1}, "wait_minutes": 3, **compute}
    changes = {"train": {"steps": 4, "validate_every": 2}, "compute": compute}
    return tiny_run(corpus, "supervised", out, changes)


def _train(folder: Path, corpus: str) -> None:
    from framework.training.run import train

    train(_run(corpus, folder / "model"))


def _tune(folder: Path, corpus: str) -> None:
    from framework.core.config_files import parse
    from framework.experiments.tune.config import SearchConfig
    from framework.experiments.tune.search import search

    value = {
        "name": "s",
        "out": str(folder),
        "run": _run(corpus, folder, resources={"tune": 1}).model_dump(),
        "space": {"optimiser.lr": {"uniform": [0.001, 0.002]}},
        "trials": 2,
    }
    search(parse(value, SearchConfig), lambda line: print(line, file=sys.stderr))


def _pseudolabel(folder: Path, corpus: str) -> None:
    from framework.labelling.job import make
    from framework.labelling.pseudolabel import PseudoLabel

    config = PseudoLabel.Config(batch=8, actors=(1, 2), resources={"label": 1}, wait_minutes=3)
    make(PseudoLabel, config, corpus, "pseudo", model=str(folder / "model" / "supervised"))


VERBS: dict[str, Callable[[Path, str], None]] = {"train": _train, "tune": _tune, "pseudolabel": _pseudolabel}


def main(verbs: list[str]) -> None:
    from framework.cluster import resources
    from framework.core.ray_runtime import end_ray
    from framework.core.storage import Store
    from framework.corpus.sources import phantom
    from framework.corpus.writer import pack

    logging.disable(logging.WARNING)
    resources.PATIENCE_S = 0.0  # nodes of this provider come within seconds
    kinds = {verb: {"CPU": 1.0, verb.removeprefix("pseudo"): 1.0} for verb in verbs}
    with tempfile.TemporaryDirectory(prefix="growing-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        corpus = Store.at(folder / "corpus")
        pack(phantom.source("phantom", images=24, size=48, seed=1), corpus, shard_mb=0.1)
        with growing_cluster(folder, kinds) as address:
            os.environ["RAY_ADDRESS"] = address
            result = tell(folder, corpus.url, verbs)
            end_ray()
    print(result)


if __name__ == "__main__":
    main(sys.argv[1:] or list(VERBS))
