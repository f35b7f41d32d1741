"""A training on a cluster that begins without any worker, in a process of its own: it joins another cluster
than the session's. All verbs: `python -m tests.cluster.growing`."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.ray


def test_a_training_waits_for_its_nodes_and_what_no_node_can_give_is_refused() -> None:
    words = [sys.executable, "-m", "tests.cluster.growing", "train"]
    ended = subprocess.run(words, capture_output=True, text=True, timeout=300)
    assert "waiting for 1 CPU, 1 train: 0 min of 3; the cluster is starting nodes" in ended.stderr
    assert ended.stdout.splitlines()[-1] == "RESULT waited=1 refused=1 finished=1", ended.stderr
