"""Hosts that do not see the same files, as ranks whose paths lead elsewhere."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from framework.core.artifact import Input
from framework.core.errors import StorageError
from framework.core.storage import Store
from framework.training import shared
from framework.training.shared import marked, require_model, require_shared, told, unseen
from framework.training.trainer import artifact_spec
from tests.contract.support import tiny_run
from tests.ranks import on_ranks


def test_one_host_that_sees_another_disk_stops_all(
    tmp_path: Path, phantom_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second rank looks below another root, in which the same folders are empty."""
    corpus = artifact_spec(tiny_run(phantom_url, "supervised", "runs")).inputs["corpus"]
    hosts = iter(["first", "second"])
    monkeypatch.setattr(shared.socket, "gethostname", lambda: next(hosts))

    def said(rank: int) -> str:
        roots = [tmp_path, tmp_path / "other"]
        store, inputs = Store.at(roots[rank] / "run"), {"corpus": corpus}
        if rank == 1:
            inputs["model"] = Input(str(roots[1] / "model"), "h")
        with pytest.raises(StorageError) as error:
            require_shared(store, "word", inputs)
        return str(error.value)

    with marked(Store.at(tmp_path / "run"), "word"):
        first, second = on_ranks(2, said)
    other = tmp_path / "other"
    assert first == second
    assert f" does not see {other}/run, {other}/model: a local path is a disk of each host's own" in first
    assert first.startswith("host ") and first.count("host ") == 1
    assert first.endswith("; use s3://…, gs://…, or a mount that all nodes share")


def test_the_mark_of_another_attempt_or_disk_is_no_mark(tmp_path: Path) -> None:
    store = Store.at(tmp_path)
    with marked(store, "word"):
        assert unseen(store, "word", {}) == []
        assert unseen(store, "another", {}) == [store.url]
    assert store.names() == []


def test_a_copy_of_what_is_read_will_do_and_another_version_will_not(
    tmp_path: Path, phantom_url: str, write_layer: Callable[..., str]
) -> None:
    copy = str(shutil.copytree(phantom_url, tmp_path / "corpus"))
    layer = write_layer(tmp_path / "layer", copy, {})
    run = tiny_run(copy, "supervised", "runs", {"corpus": {"layers": [layer]}})
    inputs = artifact_spec(run).inputs
    assert len(inputs) == 2 and unseen(Store.at("s3://bucket/run"), "word", inputs) == []
    other = {role: Input(made.path, "other") for role, made in inputs.items()}
    assert unseen(Store.at("s3://bucket/run"), "word", other) == [copy, layer]
    shutil.rmtree(copy)
    assert unseen(Store.at("s3://bucket/run"), "word", inputs) == [copy]


def test_a_bucket_is_not_looked_at() -> None:
    bucket = Store.at("s3://no-such-bucket/run")
    with marked(bucket, "word"):
        require_shared(bucket, "word", {"corpus": Input("s3://no-such-bucket/corpus", "h")})


def test_each_host_is_told_of_once() -> None:
    ranks = [("a", []), ("b", ["/runs/r", "/corpus"]), ("b", ["/runs/r", "/corpus"]), ("c", ["/runs/r"])]
    assert told(ranks) == "host b does not see /runs/r, /corpus; host c does not see /runs/r"


def test_a_model_that_the_driver_does_not_see_is_told(tmp_path: Path) -> None:
    store = Store.at(tmp_path)
    with pytest.raises(StorageError, match=r"no model is here: they wrote it to a disk of their own; use s3"):
        require_model(store)
    store.write_json("artifact.json", {})
    require_model(store)
