"""What is typed behind a command reaches what it runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from framework.cli.options import NESTED, values
from framework.core.config_files import parse
from framework.core.errors import ConfigError
from framework.core.storage import Store
from framework.corpus.reader import Corpus
from framework.labelling.cam.job import Cam
from framework.labelling.seeds.job import Seeds
from tests.cli.support import Scantseg


def test_options_are_settings_and_those_that_are_not_given_keep_their_defaults() -> None:
    given = {"size": 48, "foreground": None, NESTED: ["crf.steps=3"]}
    config = parse(values(Seeds.Config, given), Seeds.Config)
    assert (config.size, config.foreground, config.crf.steps) == (48, Seeds.Config().foreground, 3)
    assert parse(values(Seeds.Config, {NESTED: ["crf=null"]}), Seeds.Config).crf is None


def test_an_entry_of_a_mapping_is_a_key_and_its_value() -> None:
    given = {"shows": ["drusen=grade.mild", "scar=grade.grave"]}
    assert values(Cam.Config, given)["shows"] == {"drusen": ("grade", "mild"), "scar": ("grade", "grave")}
    with pytest.raises(ConfigError, match=r"--show 'drusen=grade': has the form CLASS=TARGET.VALUE"):
        values(Cam.Config, {"shows": ["drusen=grade"]})


@pytest.mark.parametrize(("typed", "pool"), [("2", (2, 2)), ("[1, 8]", (1, 8))])
def test_a_number_or_a_range_is_read_as_yaml(typed: str, pool: tuple[int, int]) -> None:
    given = {"actors": typed, "gpu": 0.25, "resources": ["fast=1"], "labels": ["market=!spot"]}
    config = parse(values(Seeds.Config, given), Seeds.Config)
    assert config.pool == pool
    assert config.processes.resources == {"CPU": 1, "GPU": 0.25, "fast": 1.0}
    assert config.processes.labels == {"market": "!spot"}


@pytest.mark.parametrize("typed", ["0", "[3, 2]", "[0, 2]"])
def test_a_range_rises_from_one(typed: str) -> None:
    with pytest.raises(ConfigError, match=r"key 'actors'.*\[MIN, MAX\]"):
        parse(values(Seeds.Config, {"actors": typed}), Seeds.Config)


def test_changes_on_the_command_line_lie_over_the_file(scantseg: Scantseg, recipe: Path) -> None:
    assert scantseg("train", recipe, "name=other", "train.steps=2").code == 0
    record = (Store.at(recipe.parent) / "runs" / "other").read_json("artifact.json")
    assert record["counts"]["steps"] == 2


def test_a_build_is_of_bits_and_a_phantom_of_a_seed(scantseg: Scantseg, folder: Path, tmp_path: Path) -> None:
    words = ("corpus", "build", folder, tmp_path / "bits", "--bits", "--classes", "background,a,b")
    assert scantseg(*words).code == 0
    info = Corpus.open(str(tmp_path / "bits")).info
    assert (info.encoding, info.classes) == ("bits", ["background", "a", "b"])
    versions = set()
    for seed in (0, 1):
        out = tmp_path / f"phantom-{seed}"
        assert (
            scantseg("corpus", "phantom", "--images", 4, "--size", 32, "--seed", seed, "--out", out).code == 0
        )
        versions.add(Corpus.open(str(out)).info.version)
    assert len(versions) == 2
