from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from framework.core.errors import ConfigError
from framework.experiments.compare.config import Comparison, load_comparison


@pytest.fixture
def described(tmp_path: Path) -> Path:
    """A comparison of two recipes, in a folder beside that of their run's file."""
    (tmp_path / "base").mkdir()
    run = {
        "corpus": {"path": "corpora/eyes"},
        "train": {"steps": 100, "batch": 4},
        "method": {"name": "cps", "weight": 0.7},
    }
    (tmp_path / "base/eyes.yaml").write_text(yaml.safe_dump(run))
    value = {
        "name": "eyes",
        "out": str(tmp_path / "out"),
        "seeds": [0, 3],
        "set": {"train": {"steps": 7}, "method": {"name": "supervised"}},
        "recipes": {
            "plain": {"config": "../base/eyes.yaml"},
            "pair": {
                "config": "../base/eyes.yaml",
                "set": {"method": {"name": "cps"}, "train": {"batch": 2}},
            },
        },
        "control": "plain",
    }
    (tmp_path / "compare").mkdir()
    (tmp_path / "compare/eyes.yaml").write_text(yaml.safe_dump(value, sort_keys=False))
    return tmp_path / "compare/eyes.yaml"


def test_a_recipe_is_its_file_then_the_changes_for_all_then_its_own(described: Path) -> None:
    comparison = load_comparison(described)
    plain, pair = comparison.recipes["plain"], comparison.recipes["pair"]
    assert (plain.method.name, plain.train.steps, plain.train.batch) == ("supervised", 7, 4)
    assert (pair.method.name, pair.train.steps, pair.train.batch) == ("cps", 7, 2)
    assert "weight" not in plain.identity() and comparison.config.split == "val"


def test_each_seed_has_a_folder_of_its_own(described: Path) -> None:
    comparison: Comparison = load_comparison(described)
    run = comparison.run("pair", 3)
    assert (run.name, run.seed, run.out) == ("pair-3", 3, comparison.config.out)
    assert comparison.folder.url == f"{described.parents[1]}/out/eyes-val"


def staged(described: Path, *names: str) -> Path:
    """Recipes in an order, the one called `sks` starting from the one called `classifier`."""
    value = yaml.safe_load(described.read_text())
    encoder = {
        "config": "../base/eyes.yaml",
        "set": {"network": {"name": "encoder"}, "method": {"name": "classifier"}},
    }
    sks = {"models": {"classifier": "classifier"}, "network": {"name": "encoder"}, "method": {"name": "sks"}}
    value["recipes"] |= {
        name: {"classifier": encoder, "sks": {"config": "../base/eyes.yaml", "set": sks}}[name]
        for name in names
    }
    described.write_text(yaml.safe_dump(value, sort_keys=False))
    return described


def test_a_recipe_may_start_from_an_earlier_ones_model_of_the_same_seed(described: Path) -> None:
    comparison = load_comparison(staged(described, "classifier", "sks"))
    assert comparison.run("sks", 3).models == {"classifier": f"{comparison.config.out}/classifier-3"}
    assert load_comparison(described, ["recipes.sks.set.models.classifier=runs/a"]).run("sks", 3).models == {
        "classifier": "runs/a"
    }


def test_a_recipe_that_starts_from_a_later_one_is_named(described: Path) -> None:
    with pytest.raises(
        ConfigError, match="recipe 'sks' starts from recipe 'classifier', which comes no earlier; move it up"
    ):
        load_comparison(staged(described, "sks", "classifier"))


def test_a_recipe_that_starts_from_none_of_them_is_named(described: Path) -> None:
    with pytest.raises(
        ConfigError,
        match=r"'sks', models\.classifier: there is no recipe 'clasifier'; did you mean 'classifier'",
    ):
        load_comparison(
            staged(described, "classifier", "sks"), ["recipes.sks.set.models.classifier=clasifier"]
        )


def test_overrides_address_the_comparison(described: Path) -> None:
    words = [
        "seeds=[5]",
        "set.train.steps=3",
        "recipes.pair.set.method.weight=0.3",
        "corpus=other",
        "source.phantom.images=9",
    ]
    comparison = load_comparison(described, words)
    assert comparison.config.seeds == [5]
    for run in comparison.recipes.values():
        assert (
            run.train.steps == 3
            and run.corpus.path == "other"
            and run.source is not None
            and run.source.phantom is not None
        )
    assert comparison.recipes["pair"].method.model_dump()["weight"] == 0.3


BAD = {
    "unknown control": (["control=plane"], "control 'plane' is no recipe; did you mean 'plain'?"),
    "no recipes": (["recipes=null"], "key 'recipes' is None: input should be a valid dictionary"),
    "empty seeds": (["seeds=[]"], r"key 'seeds' is \[\]: list should have at least 1 item"),
    "equal seeds": (["seeds=[1,1]"], r"seeds \[1, 1\] name one twice"),
    "unknown key": (["sead=3"], "unknown key 'sead'; did you mean 'seeds'?"),
    "unknown key of a recipe": (
        ["recipes.pair.sett=3"],
        "recipe 'pair': unknown key 'sett'; did you mean 'set'?",
    ),
    "unknown key of a run": (
        ["set.train.stepz=3"],
        "recipe 'plain': unknown key 'train.stepz'; did you mean 'steps'?",
    ),
    "a run's key": (["train.steps=3"], "unknown key 'train'"),
    "no such file": (
        ["recipes.pair.config=../base/eye.yaml"],
        "eye.yaml: no such configuration file; those here: eyes.yaml",
    ),
    "no file": (["recipes.new.set.seed=3"], "recipe 'new': key 'config' is missing"),
    "other split": (["split=tset"], "key 'split' is 'tset': input should be 'train', 'val' or 'test'"),
    "other corpora": (
        ["recipes.pair.set.corpus.path=other"],
        "different corpora .corpora/eyes, other.*; set 'corpus'",
    ),
    "out of range": (["target_dice=70"], "key 'target_dice' is 70: input should be less than or equal to 1"),
}


@pytest.mark.parametrize("fault", BAD)
def test_a_bad_description_is_one_line(fault: str, described: Path) -> None:
    words, message = BAD[fault]
    with pytest.raises(ConfigError, match=message) as raised:
        load_comparison(described, words)
    assert "\n" not in str(raised.value)


def test_an_empty_list_of_recipes_is_one_line(described: Path) -> None:
    value = yaml.safe_load(described.read_text()) | {"recipes": {}}
    described.write_text(yaml.safe_dump(value, sort_keys=False))
    with pytest.raises(ConfigError, match=r"key 'recipes' is \{\}: dictionary should have at least 1 item"):
        load_comparison(described)


def test_recipes_may_answer_questions_instead_of_making_masks(described: Path) -> None:
    words = ["recipes.pair.set.method.name=classifier", "recipes.pair.set.network.name=encoder"]
    assert load_comparison(described, words).recipes["pair"].method.name == "classifier"
    words = ["recipes.pair.set.method.name=irnet", *words[1:]]
    with pytest.raises(
        ConfigError, match=r"'pair' makes no masks and classifies nothing .*; leave it out"
    ) as raised:
        load_comparison(described, words)
    assert "\n" not in str(raised.value)


def test_the_comparison_that_comes_along_is_valid() -> None:
    comparison = load_comparison(Path(__file__).parents[3] / "configs/compare/phantom.yaml")
    assert {name: run.method.name for name, run in comparison.recipes.items()} == {
        n: n for n in ("supervised", "cps", "coda")
    }
    assert all(run.compute.workers == 0 and run.corpus.size == 64 for run in comparison.recipes.values())
