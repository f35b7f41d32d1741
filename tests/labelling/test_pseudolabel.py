"""Which images pseudo-labelling labels."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

from framework.core.artifact import ArtifactSpec, finish
from framework.core.storage import Store
from framework.corpus.reader import Corpus
from framework.labelling.pseudolabel import PseudoLabel


def test_only_images_whose_mask_was_not_learnt_from_are_labelled(phantom_url: str, tmp_path: Path) -> None:
    corpus, store = Corpus.open(phantom_url), Store.at(tmp_path)
    known = corpus.ids("train")[::2]
    store.write_json("labelled.json", known)
    finish(store, ArtifactSpec("model", {}, {}), {}, 0.0)
    job = object.__new__(PseudoLabel)
    run = SimpleNamespace(corpus=SimpleNamespace(patch=None))
    job.corpus = corpus
    job.model = SimpleNamespace(store=store, run=run, method=SimpleNamespace(segments=True))  # type: ignore[assignment]
    assert job.rows() == [name for name in corpus.ids("train") if name not in known]
