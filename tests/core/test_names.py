from __future__ import annotations

from pathlib import Path

import pytest

from framework.core.config_files import parse
from framework.core.errors import ConfigError, CorpusError
from framework.core.names import require_name
from framework.corpus.label_layers import layer_store
from framework.corpus.reader import Corpus
from framework.experiments.compare.config import ComparisonConfig
from framework.experiments.pipeline.config import PipelineConfig
from framework.labelling.job import make
from framework.labelling.weak.config import Box
from framework.labelling.weak.simulate import SimulateWeak

LEAVING = [
    ".",
    "..",
    "a/b",
    "a\\b",
    "a\nb",
    "a\n",
    "",
    "x" * 300,
    "CON",
    "nul.txt",
    "a.",
    "-a",
    ".a",
    "a b",
]


@pytest.mark.parametrize("name", LEAVING)
def test_a_name_that_leaves_its_folder_is_none(name: str) -> None:
    with pytest.raises(ValueError, match=r"a name has letters|known to Windows"):
        require_name(name)


@pytest.mark.parametrize("name", ["a", "größe", "round-1", "unet_3d.v2", "7", "x" * 100])
def test_names(name: str) -> None:
    assert require_name(name) == name


@pytest.mark.parametrize("name", ["..", "a\n", "", "x" * 300])
def test_runs_stages_recipes_and_layers_have_names(name: str, phantom_url: str) -> None:
    corpus = {"path": phantom_url}
    stages = [{"stage": "train", "name": name}]
    for run in ({"name": name, "corpus": corpus}, {"name": "a", "corpus": corpus, "stages": stages}):
        with pytest.raises(ConfigError, match=r"key '(stages\[0\]\.)?name' is .*: a name has letters"):
            parse(run, PipelineConfig)
    recipes = {name: {"config": "a.yaml"}}
    with pytest.raises(ConfigError, match="a name has letters"):
        parse({"name": "a", "seeds": [0], "recipes": recipes, "control": name}, ComparisonConfig)
    with pytest.raises(ConfigError, match=r"layer '.*: a name has letters.*; a path has a slash in it"):
        layer_store(Corpus.open(phantom_url).store, name)


def test_no_layer_is_written_over_a_corpus(phantom_url: str) -> None:
    before = sorted(path.name for path in Path(phantom_url).iterdir())
    with pytest.raises(CorpusError, match="a corpus lies here, which nothing is written over; choose"):
        make(SimulateWeak, Box(), phantom_url, phantom_url)
    assert sorted(path.name for path in Path(phantom_url).iterdir()) == before
