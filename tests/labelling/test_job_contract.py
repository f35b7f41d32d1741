"""A new job is one class and one line in the registry: command, stage, summary and report follow from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from pydantic import Field, create_model
from typer.testing import CliRunner

from framework.cli.jobs import add_jobs
from framework.core.artifact import add_file, summary
from framework.core.config_faults import models_of
from framework.core.config_files import parse
from framework.core.errors import CheckpointError, ConfigError, CorpusError
from framework.core.storage import Store
from framework.corpus.label_layers import Layer
from framework.corpus.layer_writer import LayerWriter
from framework.corpus.reader import Corpus
from framework.corpus.sources.folder import folder_source
from framework.corpus.writer import pack
from framework.experiments.pipeline.config import PipelineConfig
from framework.experiments.pipeline.run import run_stages
from framework.experiments.pipeline.stages import any_stage
from framework.labelling.cam.job import Cam
from framework.labelling.job import Job, JobConfig, make
from framework.labelling.pseudolabel import PseudoLabel
from framework.labelling.registry import JOBS
from framework.training.run import train
from tests.contract.support import tiny_run


class Bright(Job):
    """Take what is brighter than a level for the first structure."""

    class Config(JobConfig):
        """Where to cut."""

        level: int = Field(default=128, ge=0, le=255)
        """Grey level that a pixel must exceed. Of the brightest channel."""
        skip: list[str] = []
        """Ids that are left out."""

    name = "bright"
    artifact = "bright"

    def rows(self) -> list[str]:
        return [name for name in self.corpus.ids("train") if name not in self.config.skip]

    def write(self, layer: LayerWriter) -> int:
        return layer.write_masks("pseudo", self._mask)

    def _mask(self, name: str) -> np.ndarray:
        return (self.corpus.image(name).max(-1) > self.config.level).astype(np.uint8)

    def counts(self, layer: LayerWriter) -> dict[str, Any]:
        return {"left out": len(self.config.skip)}


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(JOBS, "bright", Bright)


@pytest.fixture
def corpus(phantom_url: str) -> Corpus:
    return Corpus.open(phantom_url)


def command_line(*words: object) -> Any:
    app = typer.Typer(rich_markup_mode=None)
    add_jobs(app)
    return CliRunner().invoke(app, list(map(str, words)))


def test_it_is_a_command(registered: None, corpus: Corpus, tmp_path: Path) -> None:
    first, second, *others = corpus.ids("train")
    words = ["bright", corpus.store.url, "--layer", tmp_path / "made", "--level", 90]
    outcome = command_line(*words, "--skip", first, "--skip", second)
    said = f"layer: {tmp_path}/made ({len(others)} images, 2 left out, 0 quarantined)"
    assert outcome.exit_code == 0 and said in outcome.output
    layer = Layer.open(corpus, str(tmp_path / "made"))
    assert set(layer.kinds) == set(others)
    image = corpus.image(others[0]).max(-1)
    assert np.array_equal(layer.mask(others[0], image.shape), image > 90)
    shown = " ".join(command_line("bright", "--help").output.split())
    assert "Take what is brighter than a level for the first structure." in shown
    assert "Grey level that a pixel must exceed. [>= 0, <= 255, default: 128]" in shown
    wrong = command_line(*words, "--level", 300)
    assert "key 'level' is 300: input should be less than or equal to 255" in str(wrong.exception)


def described(corpus: str, out: Path, settings: dict[str, int]) -> Any:
    """A run of the new stage and a report; the union of stages is read from the registry as it is now."""
    stages: Any = (list[any_stage()], ...)  # type: ignore[valid-type]
    config: Any = create_model("Config", __base__=PipelineConfig, stages=stages)
    stages = [{"stage": "bright", "settings": settings}, {"stage": "report"}]
    return parse({"name": "run", "out": str(out), "corpus": {"path": corpus}, "stages": stages}, config)


def test_it_is_a_stage_and_the_report_shows_it(registered: None, phantom_url: str, tmp_path: Path) -> None:
    said: list[str] = []
    root = run_stages(described(phantom_url, tmp_path, {"level": 90}), said.append)
    assert said[0] == "bright: bright" and said[1] == f"  {summary(root / 'bright')}"
    record = (root / "bright").read_json("artifact.json")
    assert (record["kind"], record["job"], record["name"]) == ("layer", "bright", "bright")
    assert "bright" in Path(root.url, "report.html").read_text()
    with pytest.raises(ConfigError, match=r"'stages\[0\].settings.levle'; did you mean 'level'"):
        described(phantom_url, tmp_path, {"levle": 90})


def test_a_model_that_does_not_fit_is_refused_before_its_weights_are_read(
    phantom_url: str, folder: Path, tmp_path: Path
) -> None:
    model = train(tiny_run(phantom_url, "supervised", tmp_path))
    model.write_bytes("model.safetensors", b"none")
    add_file(model, "model.safetensors")
    pack(folder_source(Store.at(folder), "other", ["background", "a", "b"]), Store.at(tmp_path / "other"))
    out = str(tmp_path / "made")
    with pytest.raises(CorpusError, match="the model knows classes"):
        make(PseudoLabel, PseudoLabel.Config(), str(tmp_path / "other"), out, model=model.url)
    with pytest.raises(ConfigError, match="a model of method 'supervised' has nothing to explain"):
        make(Cam, Cam.Config(shows={"a": ("b", "c")}), phantom_url, out, model=model.url)
    assert not Path(out).exists()


def test_what_it_made_is_recognised_by_what_determines_it(phantom_url: str, tmp_path: Path) -> None:
    out = str(tmp_path / "made")
    made = make(Bright, Bright.Config(level=90), phantom_url, out)
    before = made.read_text("artifact.json")
    assert make(Bright, Bright.Config(level=90, error_budget=0.5), phantom_url, out) == made
    assert made.read_text("artifact.json") == before
    with pytest.raises(CheckpointError, match="another configuration or input"):
        make(Bright, Bright.Config(level=91), phantom_url, out)
    other: Any = type("Dark", (Bright,), {"name": "dark"})
    with pytest.raises(CheckpointError, match="another configuration or input"):
        make(other, Bright.Config(level=90), phantom_url, out)


@pytest.mark.parametrize("job", JOBS.values(), ids=lambda job: job.name)
def test_every_job_says_what_it_is(job: type[Job]) -> None:
    """A command's help is a sentence for the job, for each of its settings and for all that it reads."""
    assert job.__doc__ and set(job.reads) <= {"model", "maps", "folder"}
    for model in models_of(job.Config):
        assert issubclass(model, JobConfig)
        undescribed = [name for name, info in model.model_fields.items() if not info.description]
        assert set(undescribed) <= {"kind", "crf"}
