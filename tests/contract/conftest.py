from __future__ import annotations

import pytest

from tests.contract.support import build_phantom


@pytest.fixture(scope="session")
def tiny_corpus(tmp_path_factory: pytest.TempPathFactory) -> str:
    return build_phantom(tmp_path_factory.mktemp("contract") / "corpus")
