"""Spot machines first, and machines on demand while the cloud has no spot: a scorer for Ray's autoscaler v1.

Ray's own asks for the same spot machine again and again. The head's start command names this one:
`RAY_AUTOSCALER_UTILIZATION_SCORER=framework.cluster.spot_first.score`.
"""

from typing import Any

from ray.autoscaler._private.node_provider_availability_tracker import NodeAvailabilitySummary
from ray.autoscaler._private.resource_demand_scheduler import _default_utilization_scorer

SUFFIX = "spot"
"""Ends the names of node types of spot machines: a scorer is told nothing else of a type."""


def score(
    node_resources: Any,
    resources: list[Any],
    node_type: str,
    *,
    node_availability_summary: NodeAvailabilitySummary,
) -> tuple[Any, ...] | None:
    """How well a node type suits what is asked for; the highest is started, and None cannot take any of it.

    Of types with the right kinds of resources, those that could be had when they were last asked for (Ray
    remembers it for 30 minutes) come first, then spot, then Ray's own order.
    """
    fit = _default_utilization_scorer(
        node_resources, resources, node_type, node_availability_summary=node_availability_summary
    )
    last = node_availability_summary.node_availabilities.get(node_type)
    is_available = last is None or last.is_available
    return fit and (*fit[:2], is_available, node_type.endswith(SUFFIX), *fit[2:])
