"""Which nodes of a cluster are asked what they see, and what is told of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from framework.core.errors import StorageError
from framework.core.storage import Store
from framework.labelling import nodes
from framework.labelling.nodes import others, require_shared_by_nodes
from framework.training.shared import marked


def node(name: str, cpus: float = 4, alive: bool = True) -> dict[str, Any]:
    return {"NodeID": name, "Alive": alive, "Resources": {"CPU": cpus} if cpus else {"memory": 1.0}}


def test_nodes_beside_the_driver_s_that_may_do_work_are_asked() -> None:
    cluster = [node("own"), node("a"), node("b"), node("head", cpus=0), node("gone", alive=False)]
    assert others(cluster, "own") == ["a", "b"]
    assert others([node("own")], "own") == []


@pytest.mark.ray
@pytest.mark.usefixtures("ray_cluster")
def test_a_node_that_does_not_see_the_folder_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one node, as if it were another than the driver's, and its mark that of another disk."""
    monkeypatch.setattr(nodes, "others", lambda cluster, own: [own])
    store = Store.at(tmp_path)
    with marked(store, "word"):
        require_shared_by_nodes(store, "word", {})
        with pytest.raises(StorageError, match=rf"^host .* does not see {tmp_path}: a local path is"):
            require_shared_by_nodes(store, "another", {})
