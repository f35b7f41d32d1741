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
    """One stage, on Ray Data; `python -m tests.chaos.every_stage` tries all, `test_kill.py` training."""
    run = load_pipeline(WEAK, ["source=null", f"corpus.path={phantom_url}", f"out={tmp_path}/killed"])
    whole = run_stages(run.model_copy(update={"out": f"{tmp_path}/whole"}), lambda line: None)
    (walk,) = outcomes(run, whole, ["walk"])
    assert (walk.stage, walk.earlier) == ("walk", 4) and walk.in_time and walk.recognised and walk.equal
