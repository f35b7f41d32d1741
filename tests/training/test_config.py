from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from framework.core.config_files import known_keys, load_yaml, merge, override, parse
from framework.core.errors import ConfigError
from framework.experiments.pipeline.config import PipelineConfig, load_pipeline
from framework.methods.cps import CPS
from framework.methods.supervised import Supervised
from framework.training.config import TrainConfig

BASE: dict[str, Any] = {"name": "tiny", "corpus": {"path": "corpora/phantom"}}


def complaint(*assignments: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse(override(copy.deepcopy(BASE), assignments), PipelineConfig)
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix("configuration: ")


def test_defaults_are_a_run() -> None:
    run = parse(BASE, PipelineConfig)
    assert run.method == Supervised.Config()
    assert [stage.stage for stage in run.stages] == ["train", "evaluate", "report"]


def test_yaml_and_overrides_describe_a_run(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(BASE))
    run = load_pipeline(
        tmp_path / "run.yaml",
        ["train.steps=7", "method.name=coda", "optimiser.lr=1e-3", "corpus.layers=[a, b]", "out=~/x"],
    )
    assert (run.train.steps, run.method.name, run.optimiser.lr, run.corpus.layers) == (
        7,
        "coda",
        1e-3,
        ["a", "b"],
    )
    assert parse(yaml.safe_load(run.to_yaml()), TrainConfig) == run.training()


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("trian.steps=3", "unknown key 'trian'; did you mean 'train'?"),
        ("train.stepz=3", "unknown key 'train.stepz'; did you mean 'steps'?"),
        ("method={name: coda, kapa: 1}", "unknown key 'method.kapa'; did you mean 'kappa'?"),
        (
            "stages=[{stage: train}, {stage: train, nam: x}]",
            "unknown key 'stages[1].nam'; did you mean 'name'?",
        ),
        (
            "stages=[{stage: pseudolabel, settings: {confidnce: 1}}]",
            "unknown key 'stages[0].settings.confidnce'; did you mean 'confidence'?",
        ),
        ("corpus.budget.zzzzzz=1", "unknown key 'corpus.budget.zzzzzz'; known: seed, share, stratify"),
        ("method.name=cod", "key 'method.name' is 'cod'; did you mean 'coda'?"),
        ("stages=[{stage: trian}]", "key 'stages[0].stage' is 'trian'; did you mean 'train'?"),
        ("method={kappa: 0.9}", "key 'method.name' is missing"),
        ("corpus=3", "key 'corpus' is 3: input should be a valid dictionary"),
        ("train.select=bets", "key 'train.select' is 'bets': input should be 'last' or 'best'"),
        ("train.steps=0", "key 'train.steps' is 0: input should be greater than or equal to 1"),
        (
            "train.steps=many",
            "key 'train.steps' is 'many': input should be a valid integer, unable to parse string as an "
            "integer",
        ),
        (
            "train.steps=2.5",
            "key 'train.steps' is 2.5: input should be a valid integer, got a number with a fractional part",
        ),
        ("source={}", "key 'source' is {}: a source is either phantom or folder"),
        (
            "source.phantom={images: 3, seed: -1}",
            "key 'source.phantom.seed' is -1: input should be greater than or equal to 0",
        ),
        (
            "source.phantom={images: 3, seed: 9223372036854775808}",
            "'source.phantom.seed' is 9223372036854775808: input should be less",
        ),
        ("name=a/b", "key 'name' is 'a/b': a name has letters, digits and _ . -"),
    ],
)
def test_a_wrong_key_or_value_is_one_line_with_its_place(assignment: str, message: str) -> None:
    assert message in complaint(assignment)


def test_a_missing_key_is_named() -> None:
    with pytest.raises(ConfigError, match=r"^run.yaml: key 'name' is missing; key 'corpus.path' is missing$"):
        parse({"corpus": {"size": 32}}, TrainConfig, "run.yaml")


def test_several_faults_are_told_at_once_and_long_values_cut() -> None:
    assert complaint("train.steps=0", "train.batch=0").count("input should be") == 2
    assert len(complaint(f"train.steps={list(range(500))}")) < 160


@pytest.mark.parametrize("text", ["train.steps", "=3", "", "train.steps=[1", "name=2026-13-01"])
def test_an_override_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(
        ConfigError, match=r"an override has the form key.sub=value|the value is not valid YAML"
    ):
        override({}, [text])


@given(st.lists(st.sampled_from(sorted(known_keys(TrainConfig))), min_size=1), st.integers())
def test_any_known_key_can_be_set(keys: list[str], value: int) -> None:
    base: dict[str, Any] = {}
    override(base, [f"{key}={value}" for key in keys])
    setting: Any = base
    for part in keys[-1].split("."):
        setting = setting[part]
    assert setting == value


def test_a_section_of_another_name_starts_anew() -> None:
    base = {"method": {"name": "coda", "kappa": 0.9}, "train": {"steps": 3}}
    assert merge(copy.deepcopy(base), {"method": {"kappa": 0.5}})["method"] == {"name": "coda", "kappa": 0.5}
    assert merge(copy.deepcopy(base), {"method": {"name": "cps"}})["method"] == {"name": "cps"}
    assert merge(copy.deepcopy(base), {"train": {"batch": 2}})["train"] == {"steps": 3, "batch": 2}


def test_included_files_lie_beneath(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    (tmp_path / "base/one.yaml").write_text("name: one\ntrain: {steps: 1, batch: 1}\n")
    (tmp_path / "base/two.yaml").write_text("include: [one.yaml]\ntrain: {steps: 2}\n")
    (tmp_path / "run.yaml").write_text("include: [base/one.yaml, base/two.yaml]\nname: run\n")
    assert load_yaml(tmp_path / "run.yaml") == {"name": "run", "train": {"steps": 2, "batch": 1}}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "run.yaml: holds no keys; a configuration is a mapping"),
        ("- a\n", "run.yaml: holds no keys"),
        ("name: [a\n", "run.yaml: not valid YAML .*line 2"),
        ("name: \tx: y\n", "run.yaml: not valid YAML"),
        ("name: 2026-13-01\n", "run.yaml: not valid YAML .*month must be in 1..12"),
        (
            "name: !!python/object:os.system x\n",
            "run.yaml: not valid YAML .*could not determine a constructor",
        ),
        ("include: base.yaml\n", r"run.yaml: 'include' is 'base.yaml'; it is a list of file names"),
        ("include: [3]\n", "run.yaml: 'include' is"),
        ("include: [absent.yaml]\n", "absent.yaml: no such configuration file; those here: run.yaml"),
        ("include: [run.yaml]\n", "run.yaml: includes itself"),
    ],
)
def test_a_file_that_is_no_description_says_where(text: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text(text)
    with pytest.raises(ConfigError, match=reason) as caught:
        load_pipeline(tmp_path / "run.yaml")
    assert "\n" not in str(caught.value)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    text=st.lists(
        st.sampled_from(
            [
                "name",
                "corpus",
                "include",
                ": ",
                "[",
                "]",
                "{",
                "}",
                "\n",
                "- ",
                "  ",
                "&a",
                "*a",
                "'",
                "1e9",
                "~",
            ]
        )
    )
)
def test_any_other_text_is_a_description_or_one_line(text: list[str], tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text("".join(text))
    with pytest.raises(ConfigError) as caught:
        load_pipeline(tmp_path / "run.yaml")
    assert str(caught.value).startswith(str(tmp_path)) and "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    (tmp_path / "other.yaml").write_text("a: 1")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(ConfigError, match=r"no such configuration file; those here: binary.yaml, other.yaml"):
        load_pipeline(tmp_path / "run.yaml")
    with pytest.raises(ConfigError, match=r"cannot be read \(Is a directory\)"):
        load_pipeline(tmp_path)
    with pytest.raises(ConfigError, match="not valid YAML"):
        load_pipeline(tmp_path / "binary.yaml")


@pytest.mark.parametrize(
    "change",
    ["name=other", "out=elsewhere", "compute.workers=4", "corpus.path=/x", "corpus.cache_mb=1", "stages=[]"],
)
def test_what_changes_no_result_changes_no_identity(change: str) -> None:
    assert (
        parse(override(copy.deepcopy(BASE), [change]), PipelineConfig).identity()
        == parse(BASE, PipelineConfig).identity()
    )


def test_a_changed_method_changes_the_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    """A comparison took models of older code for new ones."""
    run = parse({**BASE, "method": {"name": "cps"}}, TrainConfig)
    before = run.identity()
    monkeypatch.setattr(CPS, "revision", CPS.revision + 1)
    assert run.identity() != before
    assert (
        "method.revision" not in parse(BASE, TrainConfig).identity()
    )  # those that never changed keep theirs


def test_the_order_of_classes_is_part_of_the_identity() -> None:
    """It is that of the network's outputs; two mappings are equal in any order."""
    classes = {"absent": ["0"], "present": ["1"]}

    def run(classes: dict[str, list[str]]) -> TrainConfig:
        method = {"name": "classifier", "targets": {"t": {"label": "grade", "classes": classes}}}
        return parse({**BASE, "network": {"name": "encoder"}, "method": method}, TrainConfig)

    assert (
        run(classes).identity()
        == run(dict(classes)).identity()
        != run(dict(reversed(classes.items()))).identity()
    )


@pytest.mark.parametrize(
    "change", ["seed=1", "train.steps=5", "corpus.size=64", "corpus.budget.share=0.5", "method.name=cps"]
)
def test_what_changes_the_result_changes_the_identity(change: str) -> None:
    assert (
        parse(override(copy.deepcopy(BASE), [change]), TrainConfig).identity()
        != parse(BASE, TrainConfig).identity()
    )


def test_known_keys_are_those_of_every_method_and_network() -> None:
    keys = set(known_keys(TrainConfig))
    assert {"train.steps", "method.kappa", "network.decoder", "network.widths", "corpus.budget.share"} <= keys
