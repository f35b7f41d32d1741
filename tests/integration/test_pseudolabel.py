"""The Ray Data job: streams, quarantines, resumes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from framework.core.errors import CorpusError
from framework.core.storage import Store
from framework.corpus.label_layers import Layer
from framework.corpus.layer_writer import finished_ids
from framework.corpus.reader import Corpus
from framework.corpus.writer import pack
from framework.experiments.pipeline.config import PhantomConfig
from framework.experiments.pipeline.run import phantom_source
from framework.inference.predictor import Predictor
from framework.labelling.job import make
from framework.labelling.pseudolabel import PseudoLabel
from framework.training.run import train
from tests.contract.support import tiny_run

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_cluster")]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Two of its images are damaged after it was built, as a disk would."""
    store = Store.at(tmp_path_factory.mktemp("pseudo") / "corpus")
    pack(phantom_source(PhantomConfig(images=60, size=48, seed=1), "phantom"), store, shard_mb=0.1)
    store.write_json("corpus.json", store.read_json("corpus.json") | {"files": {}})  # its pages alone tell
    damaged = 0
    for name in Corpus.open(store).info.shards:
        table = pq.read_table(store.path(name))
        images = table["image"].to_pylist()
        for i, (split, group) in enumerate(
            zip(table["split"].to_pylist(), table["group"].to_pylist(), strict=True)
        ):
            if split == "train" and group not in budget_groups(store) and damaged < 2:
                images[i] = images[i][:200]
                damaged += 1
        table = table.set_column(
            table.schema.get_field_index("image"), table.schema.field("image"), pa.array(images, pa.binary())
        )
        pq.write_table(table, store.path(name), row_group_size=32)
    return store.url


def budget_groups(store: Store) -> set[str]:
    from framework.loading.label_budget import BudgetConfig, labelled_ids

    corpus = Corpus.open(store)
    return {corpus.value(name, "group") for name in labelled_ids(corpus, BudgetConfig(share=0.5))}


@pytest.fixture(scope="module")
def model(corpus: str, tmp_path_factory: pytest.TempPathFactory) -> Store:
    return train(tiny_run(corpus, "supervised", tmp_path_factory.mktemp("model")))


def unlabelled(corpus: str, model: Store) -> set[str]:
    return set(Corpus.open(corpus).ids("train")) - set(model.read_json("labelled.json"))


def pseudo_label(corpus: str, model: Store, **settings: float) -> Store:
    config = PseudoLabel.Config(batch=8, confidence=0.0, **settings)  # type: ignore[arg-type]
    return make(PseudoLabel, config, corpus, "pseudo", model=model.url)


@pytest.fixture(scope="module")
def layer(corpus: str, model: Store) -> Store:
    """Begun under an error budget that two damaged rows are over, then finished under a larger one."""
    with pytest.raises(CorpusError, match=r"2 rows cannot be used, over the error budget of 1.0% of \d+"):
        pseudo_label(corpus, model)
    return pseudo_label(corpus, model, error_budget=0.2)


def test_labels_every_readable_row_and_names_the_others(corpus: str, model: Store, layer: Store) -> None:
    quarantine = layer.read_table("quarantine.parquet").to_pylist()
    assert len(quarantine) == 2 and all("truncated or damaged" in row["reason"] for row in quarantine)
    opened = Layer.open(Corpus.open(corpus), "pseudo")
    assert set(opened.kinds) | {row["id"] for row in quarantine} == unlabelled(corpus, model)
    assert opened.artifact["counts"]["quarantined"] == 2


def test_masks_are_those_of_the_predictor(corpus: str, model: Store, layer: Store) -> None:
    opened = Corpus.open(corpus)
    pseudo = Layer(layer, opened)
    names = sorted(pseudo.kinds)[:5]
    expected = Predictor(model).segment([opened.image(name) for name in names])["network 1"]
    for name, mask in zip(names, expected, strict=True):
        assert np.mean(pseudo.mask(name, mask.shape) == mask) > 0.999


def test_an_interrupted_layer_does_only_what_is_missing(corpus: str, model: Store, layer: Store) -> None:
    whole = finished_ids(layer)
    parts = [name for name in layer.names() if name.startswith("rows-")]
    layer.remove("artifact.json")
    layer.remove(parts[0])
    kept = {name: Path(layer.url, name).stat().st_mtime_ns for name in parts[1:]}
    again = pseudo_label(corpus, model, error_budget=0.2)
    assert finished_ids(again) == whole
    assert {name: Path(layer.url, name).stat().st_mtime_ns for name in parts[1:]} == kept
    rows = sum(again.read_table(name).num_rows for name in again.names() if name.startswith("rows-"))
    assert rows == len(whole) - 2
