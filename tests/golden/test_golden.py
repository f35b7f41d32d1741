"""Stored losses of tiny runs. A change that claims to be neutral must keep them bit for bit.

`python -m tests.golden.test_golden` writes them anew, for a change that is meant to alter them.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest
import torch

from tests.contract.support import EXAMPLES, build_phantom, losses, tiny_run, trained

STORED = Path(__file__).with_name("losses.json")


def measured(corpus: str, method: str, out: Path) -> list[str]:
    torch.set_num_threads(1)  # as the suite has it: two sum in another order
    run = tiny_run(corpus, method, out)
    trained(run)
    return [loss.hex() for loss in losses(run)]


def machine() -> str:
    """What decides the last bits: the processor, its instructions and torch's version."""
    processor = torch.cpu.get_capabilities().get("cpu_name", "unknown processor")
    return f"{processor}, {torch.backends.cpu.get_cpu_capability()}, torch {torch.__version__.split('+')[0]}"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> str:
    return build_phantom(tmp_path_factory.mktemp("golden") / "corpus")


@pytest.mark.parametrize("method", list(EXAMPLES))
def test_losses_are_the_stored_ones(method: str, corpus: str, tmp_path: Path) -> None:
    stored = json.loads(STORED.read_text())
    values = measured(corpus, method, tmp_path)
    if stored["machine"] == machine():
        assert values == stored["losses"][method]
    else:
        expected = [float.fromhex(text) for text in stored["losses"][method]]
        assert [float.fromhex(text) for text in values] == pytest.approx(expected, rel=1e-3)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        built = build_phantom(Path(folder) / "corpus")
        values = {method: measured(built, method, Path(folder)) for method in EXAMPLES}
    STORED.write_text(json.dumps({"machine": machine(), "losses": values}, indent=1) + "\n")
