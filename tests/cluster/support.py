"""Ray's autoscaler as the head of a cluster has it, without a cluster."""

from __future__ import annotations

from typing import Any
from unittest.mock import MagicMock

from ray.autoscaler._private.node_launcher import BaseNodeLauncher
from ray.autoscaler._private.node_provider_availability_tracker import NodeProviderAvailabilityTracker
from ray.autoscaler._private.resource_demand_scheduler import ResourceDemandScheduler
from ray.autoscaler.tags import NODE_KIND_HEAD, TAG_RAY_NODE_KIND, TAG_RAY_USER_NODE_TYPE


class Autoscaler:
    """Decides which machines to start for work that waits, starts them with a provider, and hears what came
    of it; the scorer is that of the environment."""

    def __init__(self, config: dict[str, Any], provider: Any) -> None:
        self.config, self.tracker = config, NodeProviderAvailabilityTracker()
        types, head = config["available_node_types"], config["head_node_type"]
        head_alone = MagicMock()
        head_alone.node_tags.return_value = {TAG_RAY_NODE_KIND: NODE_KIND_HEAD, TAG_RAY_USER_NODE_TYPE: head}
        self.scheduler = ResourceDemandScheduler(head_alone, types, config["max_workers"], head, 1.0)
        self.launcher = BaseNodeLauncher(
            provider, MagicMock(), MagicMock(), self.tracker, prom_metrics=MagicMock(), node_types=types
        )

    def wants(self, *work: Any) -> dict[str, int]:
        """How many machines of which type are to be started for work, each its resources."""
        chosen, _ = self.scheduler.get_nodes_to_launch(
            *(["the head"], {}, list(work), {}, [], {}, []), node_availability_summary=self.tracker.summary()
        )
        return chosen

    def launch(self, node_type: str) -> None:
        self.launcher.launch_node(self.config, 1, node_type)
