from __future__ import annotations

import pytest

from tests.contract.support import VOLUMES, build_phantom
from tests.contract.volumes import build_volumes


@pytest.fixture(scope="session")
def tiny_corpus(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A corpus of images; beside it, with the ending `VOLUMES`, lies one of volumes."""
    folder = tmp_path_factory.mktemp("contract")
    build_volumes(folder / f"corpus{VOLUMES}")
    return build_phantom(folder / "corpus")
