"""The main job wholly on a real S3 API: corpus, training, resume, pseudo-labels, evaluation."""

from __future__ import annotations

import pytest

from framework.core.errors import StorageError
from framework.core.storage import Store
from framework.corpus.label_layers import Layer
from framework.corpus.reader import Corpus
from framework.corpus.writer import pack
from framework.evaluation.evaluate import evaluate
from framework.experiments.pipeline.config import PhantomConfig
from framework.experiments.pipeline.run import phantom_source
from framework.labelling.job import make
from framework.labelling.pseudolabel import PseudoLabel
from framework.training.checkpoint import latest
from framework.training.run import train
from tests.contract.support import build, tiny_run, trained

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_cluster")]


def test_corpus_training_resume_and_pseudo_labels_on_s3(s3: str) -> None:
    corpus = f"{s3}/corpora/phantom"
    pack(phantom_source(PhantomConfig(images=60, size=48, seed=1), "phantom"), Store.at(corpus), shard_mb=0.2)
    changes = {"train": {"checkpoint_every": 2}, "compute": {"workers": 1}}
    run = tiny_run(corpus, "coda", f"{s3}/runs", changes)
    begun = trained(run, stop=4)
    assert begun.store.url.startswith("s3://")
    model = train(run)  # a Ray worker goes on from this process's checkpoint
    checkpoint = latest(model / "checkpoints", build(run).identity)
    assert checkpoint is not None and checkpoint.step == 6
    layer = make(PseudoLabel, PseudoLabel.Config(batch=16), corpus, "pseudo", model=model.url)
    assert layer.url == f"{corpus}/layers/pseudo"
    assert (
        len(Layer.open(Corpus.open(corpus), "pseudo").kinds)
        == layer.read_json("artifact.json")["counts"]["rows"]
        > 0
    )
    summary = evaluate(model, corpus, Store.at(f"{s3}/runs/evaluation"))
    assert set(summary["predictors"]) == {"both", "network 1"}


def test_a_bucket_that_is_not_there_is_said(s3: str) -> None:
    with pytest.raises(StorageError, match=r"s3://no-such-bucket"):
        Store.at("s3://no-such-bucket/runs").require_writable()
