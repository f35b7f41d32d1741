"""`scantseg verify`, and what happens to results whose files are no longer what was written."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from framework.core.artifact import read_record
from framework.core.errors import StorageError
from framework.core.storage import Store
from framework.corpus.label_layers import Layer
from framework.corpus.reader import Corpus
from framework.evaluation.evaluate import evaluate
from framework.inference.predictor import Predictor
from framework.labelling.job import make
from framework.labelling.weak.config import Box
from framework.labelling.weak.simulate import SimulateWeak
from framework.reporting.verify import verify
from framework.training.run import train
from tests.contract.support import tiny_run


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory, phantom_url: str) -> Path:
    """A corpus with a layer of boxes, a model and its evaluation."""
    root = tmp_path_factory.mktemp("whole")
    shutil.copytree(phantom_url, root / "corpus")
    corpus = str(root / "corpus")
    make(SimulateWeak, Box(), corpus, "box")
    model = train(tiny_run(corpus, "supervised", root, {"train": {"steps": 1}}))
    evaluate(model, corpus, Store.at(root / "evaluation"))
    return root


@pytest.fixture
def made(pristine: Path, tmp_path: Path) -> Path:
    shutil.copytree(pristine, tmp_path / "made")
    return tmp_path / "made"


def flip(path: Path, place: int = -100) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


def first(folder: Path, pattern: str) -> Path:
    return next(iter(sorted(folder.glob(pattern))))


def test_all_that_is_whole_is_said(made: Path) -> None:
    lines = list(verify([Store.at(made)]))
    kinds = [line.split(" (")[0] for line in lines]
    assert kinds == [
        f"whole: corpus {made}/corpus",
        f"whole: layer {made}/corpus/layers/box",
        f"whole: evaluation {made}/evaluation",
        f"whole: model {made}/supervised",
    ]


@pytest.mark.parametrize(
    "pattern",
    ["corpus/rows-*", "corpus/layers/box/rows-*", "supervised/model.safetensors", "evaluation/cases.parquet"],
)
@pytest.mark.parametrize("damage", [flip, Path.unlink])
def test_what_is_damaged_is_named(made: Path, pattern: str, damage: Callable[[Path], None]) -> None:
    victim = first(made, pattern)
    damage(victim)
    said: list[str] = []
    with pytest.raises(StorageError, match="1 of 4 are damaged; the lines above say what to do"):
        for line in verify([Store.at(made)]):
            said.append(line)
    [line] = [line for line in said if line.startswith("damaged: ")]
    assert (
        line.startswith(f"damaged: {victim}: is ") and f"or delete {victim.parent} and make it again" in line
    )


def test_a_folder_without_anything_finished_is_said(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no finished artifact or corpus here or below; check the path"):
        list(verify([Store.at(tmp_path)]))


def test_a_model_with_a_flipped_bit_is_not_loaded(made: Path) -> None:
    flip(made / "supervised/model.safetensors")
    with pytest.raises(StorageError, match=r"model.safetensors: is not what was written, so it is damaged"):
        Predictor(Store.at(made / "supervised"))


def test_a_layer_with_a_flipped_bit_is_not_read(made: Path) -> None:
    """Anywhere in the bytes of its masks."""
    corpus, part = Corpus.open(str(made / "corpus")), first(made, "corpus/layers/box/rows-*")
    flip(part, part.stat().st_size // 4)
    with pytest.raises(StorageError, match=f"{part.name}: shard is missing or damaged"):
        layer = Layer.open(corpus, "box")
        for name in layer.kinds:
            layer.mask(name, corpus.image(name).shape)


def test_a_corpus_with_a_flipped_bit_is_not_read(made: Path) -> None:
    corpus = Corpus.open(str(made / "corpus"))
    flip(made / "corpus" / corpus.info.shards[0], 3000)
    with pytest.raises(StorageError, match=f"{corpus.info.shards[0]}: shard is missing or damaged"):
        list(corpus.rows(corpus.index_columns["id"]))


@pytest.mark.parametrize("pattern", ["corpus/layers/box/rows-*", "supervised/model.safetensors"])
def test_the_same_command_again_notices_what_is_missing(made: Path, pattern: str) -> None:
    first(made, pattern).unlink()
    run = tiny_run(str(made / "corpus"), "supervised", made, {"train": {"steps": 1}})
    with pytest.raises(StorageError, match=r"is missing, so it is damaged; put it back as it was, or delete"):
        train(run)
        make(SimulateWeak, Box(), str(made / "corpus"), "box")


def test_a_layer_of_many_parts_is_opened_by_one_listing(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    sizes = Store.sizes
    monkeypatch.setattr(Store, "sizes", lambda store: asked.append(store.url) or sizes(store))
    read_record(Store.at(made / "corpus/layers/box"))
    assert asked == [f"{made}/corpus/layers/box"]
