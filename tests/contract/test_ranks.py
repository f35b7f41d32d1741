"""One rank equals two, in losses, weights, global statistics and indicators, and one strategy the other."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.contract.support import CASES, STRATEGIES, UNDER_STRATEGIES, long, losses, tiny_run, trained


@pytest.fixture(scope="module")
def folder(tiny_corpus: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every method trained by two processes, and two of them under every strategy."""
    folder = tmp_path_factory.mktemp("ranks")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    common = {
        **os.environ,
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": port,
        "WORLD_SIZE": "2",
        "OMP_NUM_THREADS": "1",
    }
    own = [{"RANK": str(rank), "LOCAL_RANK": str(rank), "LOCAL_WORLD_SIZE": "2"} for rank in range(2)]
    command = [sys.executable, "-W", "ignore", "-m", "tests.contract.rank", str(folder), tiny_corpus]
    ranks = [
        subprocess.Popen(command, env={**common, **one}, stderr=subprocess.PIPE, text=True) for one in own
    ]
    faults = [rank.communicate(timeout=600)[1] for rank in ranks]
    assert [rank.returncode for rank in ranks] == [0, 0], "\n".join(faults)[-3000:]
    return folder


@pytest.mark.parametrize("method", CASES)
def test_two_ranks_equal_one_for_many_steps_in_double(
    method: str, folder: Path, tiny_corpus: str, tmp_path: Path
) -> None:
    one = tiny_run(tiny_corpus, method, tmp_path, long(method))
    state = trained(one).method.state_dict()
    two = tiny_run(tiny_corpus, method, folder / "two", long(method))
    assert len(losses(two)) == long(method)["train"]["steps"]
    assert losses(one) == pytest.approx(losses(two), rel=1e-9)
    # AdamW does not see a gradient that is too large by the number of ranks; its norm does.
    assert losses(one, "gradient_norm") == pytest.approx(losses(two, "gradient_norm"), rel=1e-6)
    torch.testing.assert_close(load_file(folder / f"{method}.safetensors"), dict(state), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("method", UNDER_STRATEGIES)
def test_a_method_has_equal_losses_under_ddp_and_zero(method: str, folder: Path, tiny_corpus: str) -> None:
    runs = {n: tiny_run(tiny_corpus, method, folder / n, changes) for n, changes in STRATEGIES.items()}
    by_strategy = {name: losses(run) for name, run in runs.items()}
    assert len(by_strategy["ddp"]) == UNDER_STRATEGIES[method]
    assert by_strategy["zero1"] == pytest.approx(by_strategy["ddp"], rel=2e-3)
    assert by_strategy["zero2"] == pytest.approx(by_strategy["ddp"], rel=2e-3)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_two_hosts_that_share_no_disk_go_on_bit_for_bit(strategy: str, folder: Path) -> None:
    ends = [(folder / f"resumed-{strategy}-{rank}").read_text() for rank in range(2)]
    assert ends == ["bit for bit"] * 2
    assert not (folder / f"{strategy}-1").exists()


def test_a_loss_that_is_not_finite_on_one_rank_stops_both_and_names_the_image(folder: Path) -> None:
    for rank in range(2):
        message = (folder / f"finite-{rank}").read_text()
        assert "step 3" in message and message.endswith(": second-1")
