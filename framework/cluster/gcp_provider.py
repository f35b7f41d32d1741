"""Google's machines as Ray starts them, but that the autoscaler hears when there are none."""

import sys
from typing import Any

from ray.autoscaler._private.gcp.node_provider import GCPNodeProvider
from ray.autoscaler.node_launch_exception import NodeLaunchException


class SpotFirstGCP(GCPNodeProvider):
    """Ray's own provider keeps to itself that a zone has no machine of a type left: the autoscaler would ask
    for the same one again. A cluster file names this class as `provider.module`, of `type: external`."""

    def create_node(self, base_config: dict[str, Any], tags: dict[str, str], count: int) -> dict[str, Any]:
        """Start machines; raises `NodeLaunchException`, which makes their type unavailable for a while."""
        try:
            return super().create_node(base_config, tags, count)
        except Exception as error:
            raise NodeLaunchException("NotStarted", str(error), sys.exc_info()) from error
