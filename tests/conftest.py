"""Data that many tests share. Everything is tiny, and written anew for each session or test."""

from __future__ import annotations

import csv
import io
import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

WITH_RAY = ("tests/integration/", "tests/chaos/")
"""Folders of the tests that share the session's cluster."""


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Two processes may share the tests: those of a file stay together, as do all that use Ray, for one
    cluster."""
    from xdist.scheduler import LoadFileScheduling

    class OneCluster(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return "ray" if nodeid.startswith(WITH_RAY) else super()._split_scope(nodeid)

    return OneCluster(config, log)


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """One thread here and in every process that a test starts: the last bits of a sum depend on their
    number."""
    import torch

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        torch.set_num_threads(1)
        yield


@pytest.fixture(scope="session")
def phantom_url(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A corpus of 60 phantoms (30 patients) of 48 pixels in several shards: for reading only."""
    from framework.core.storage import Store
    from framework.corpus.sources import phantom
    from framework.corpus.writer import pack

    store = Store.at(tmp_path_factory.mktemp("corpora") / "phantom")
    pack(phantom.source("phantom", images=60, size=48, seed=1), store, shard_mb=0.1)
    return store.url


@pytest.fixture(scope="session")
def png() -> Callable[[np.ndarray], bytes]:
    """Encodes pixels as PNG."""

    def encode(pixels: np.ndarray) -> bytes:
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "PNG")
        return buffer.getvalue()

    return encode


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder as `scantseg corpus build` takes it: 12 grey images 24 x 20 of 6 patients, masks of ids 0..2,
    labels.csv."""
    root = tmp_path / "folder"
    for name in ("images", "masks"):
        (root / name).mkdir(parents=True)
    rng = np.random.default_rng(0)
    rows = []
    for i in range(12):
        name, mask = f"case-{i:02d}", np.zeros((24, 20), np.uint8)
        mask[4:12, 3:9], mask[14:20, 10:16] = 1, 2
        Image.fromarray((rng.integers(0, 60, mask.shape) + 60 * mask).astype(np.uint8)).save(
            root / "images" / f"{name}.png"
        )
        Image.fromarray(mask).save(root / "masks" / f"{name}.png")
        split = ("train", "train", "train", "train", "val", "test")[i // 2]
        rows.append(
            {
                "id": name,
                "split": split,
                "patient": f"p{i // 2}",
                "grade": i // 2 % 3,
                "sex": "fm"[i // 2 % 2],
            }
        )
    write_csv(root / "labels.csv", rows)
    return root


@pytest.fixture
def write_rows() -> Callable[[Path, list[dict[str, object]]], None]:
    """Writes rows as CSV."""
    return write_csv


def write_csv(path: Path, rows: list[dict[str, object]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture(scope="session")
def write_layer(png: Callable[[np.ndarray], bytes]) -> Callable[..., str]:
    """Writes a finished label layer for a corpus, masks by id, to a folder; gives its address."""

    def write(path: Path, corpus_url: str, masks: dict[str, np.ndarray], kind: str = "pseudo") -> str:
        import pyarrow as pa

        from framework.core.storage import Store
        from framework.corpus.label_layers import LAYER_ROW
        from framework.corpus.schema import CorpusInfo

        store, version = Store.at(path), CorpusInfo.read(Store.at(corpus_url)).version
        rows = [{"id": name, "mask": png(mask), "kind": kind} for name, mask in masks.items()]
        store.write_table("rows-00000.parquet", pa.Table.from_pylist(rows, schema=LAYER_ROW))
        inputs, counts = {"corpus": {"path": corpus_url, "hash": version}}, {"rows": len(masks)}
        store.write_json("artifact.json", {"kind": "layer", "hash": "h", "inputs": inputs, "counts": counts})
        return store.url

    return write


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An S3 server in this process with an empty bucket: its address, `s3://…`."""
    server_module = pytest.importorskip("moto.server", reason="needs moto[server]")
    import boto3

    server = server_module.ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    with pytest.MonkeyPatch.context() as patch:
        host, port = server.get_host_and_port()
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "testing")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        boto3.client("s3").create_bucket(Bucket="scans")
        yield "s3://scans"
    server.stop()


@pytest.fixture(scope="session")
def gs() -> Iterator[str]:
    """A server of Google Cloud Storage in this process with an empty bucket: its address, `gs://…`."""
    from tests.google_storage import GoogleStorage

    server = GoogleStorage()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STORAGE_EMULATOR_HOST", f"127.0.0.1:{server.server_port}")
        yield "gs://scans"
    server.shutdown()


@pytest.fixture(scope="session")
def ray_cluster(s3: str) -> Iterator[None]:
    """One local Ray of two processors for all tests of a session; its workers know the S3 server."""
    import ray

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.2")
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv(
            "RAY_worker_niceness", "0"
        )  # as in `start_ray`: beside other busy programs the workers would starve
        ray.init(
            "local",
            num_cpus=2,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            object_store_memory=400 * 2**20,
        )
        yield
        ray.shutdown()
