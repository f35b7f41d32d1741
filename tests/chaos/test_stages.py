"""A run of stages that is killed hard ends, by the same command, with the result of a run left alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from framework.experiments.pipeline.config import load_pipeline
from framework.experiments.pipeline.run import run_stages
from tests.chaos.every_stage import outcomes

WEAK = Path(__file__).parent / "weak.yaml"


@pytest.mark.ray
def test_finished_stages_are_recognised_and_the_killed_one_is_finished(
    phantom_url: str, tmp_path: Path, ray_cluster: None
) -> None:
    """One job, as all have one life; `python -m tests.chaos.every_stage` tries every stage, `test_kill.py`
    training."""
    run = load_pipeline(WEAK, ["source=null", f"corpus.path={phantom_url}", f"out={tmp_path}/killed"])
    run = run.model_copy(update={"stages": run.stages[:3]})
    whole = run_stages(run.model_copy(update={"out": f"{tmp_path}/whole"}), lambda line: None)
    (seeds,) = outcomes(run, whole, ["seeds"])
    assert (seeds.stage, seeds.earlier) == ("seeds", 2) and seeds.in_time and seeds.recognised and seeds.equal
