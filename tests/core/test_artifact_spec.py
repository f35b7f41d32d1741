"""What makes two artifacts equal, and what a folder is taken for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from framework.core.artifact import ArtifactSpec, Input, finish, input_of, is_finished
from framework.core.errors import CheckpointError, CorpusError
from framework.core.storage import Store

SPEC = ArtifactSpec("model", {"corpus": Input("/data/corpus", "one")}, {"seed": 0})


@pytest.mark.parametrize(
    "other",
    [
        replace(SPEC, kind="layer"),
        replace(SPEC, job="cam"),
        replace(SPEC, settings={"seed": 1}),
        replace(SPEC, inputs={"corpus": Input("/data/corpus", "two")}),
        replace(SPEC, inputs={"layer": Input("/data/corpus", "one")}),
    ],
)
def test_another_kind_job_setting_or_input_is_another_artifact(other: ArtifactSpec, tmp_path: Path) -> None:
    store = Store.at(tmp_path)
    assert other.hash != SPEC.hash and not is_finished(store, SPEC)
    finish(store, SPEC, {}, 0.0)
    assert is_finished(store, SPEC)
    with pytest.raises(CheckpointError, match="holds a finished model of another configuration or input"):
        is_finished(store, other)


def test_the_place_of_an_input_does_not_count() -> None:
    assert replace(SPEC, inputs={"corpus": Input("s3://bucket/corpus", "one")}).hash == SPEC.hash


def test_an_input_is_of_its_kind(tmp_path: Path) -> None:
    store = Store.at(tmp_path)
    with pytest.raises(CorpusError, match="no finished model here; make it first"):
        input_of(store, "model")
    finish(store, SPEC, {}, 0.0)
    assert input_of(store, "model") == Input(store.url, SPEC.hash)
    with pytest.raises(CorpusError, match="holds a model, but a layer is needed here"):
        input_of(store, "layer")
