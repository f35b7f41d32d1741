"""What a manifest of KubeRay must not say, whatever Kubernetes allows: one small function a rule."""

from collections.abc import Callable, Iterator
from typing import Any

from framework.cluster.findings import Finding
from framework.cluster.versions import other_versions, unpinned_image

Manifest = dict[str, Any]
SPOT = ("karpenter.sh/capacity-type", "eks.amazonaws.com/capacityType", "cloud.google.com/gke-spot")
"""Labels of nodes that say whether they are spot."""
OUTSIDE = ("LoadBalancer", "NodePort")
"""Kinds of services that are reached from outside."""


def no_token(manifest: Manifest) -> Iterator[Finding]:
    """Without one, a cluster answers every pod that reaches it."""
    for where, cluster in _clusters(manifest):
        if cluster.get("authOptions", {}).get("mode") != "token":
            yield Finding(
                f"{where}.authOptions", "Ray runs without a token", "write authOptions: {mode: token}"
            )


def open_dashboard(manifest: Manifest) -> Iterator[Finding]:
    """Whoever reaches the dashboard runs code on the cluster."""
    mend = "write ClusterIP and reach it by `kubectl port-forward`"
    for where, cluster in _clusters(manifest):
        head = cluster["headGroupSpec"]
        if head.get("serviceType") in OUTSIDE:
            yield Finding(f"{where}.headGroupSpec.serviceType", "the dashboard is reached from outside", mend)
        if head.get("enableIngress"):
            yield Finding(
                f"{where}.headGroupSpec.enableIngress", "the dashboard is reached from outside", mend
            )


def head_on_spot(manifest: Manifest) -> Iterator[Finding]:
    """With its head a cluster loses its jobs."""
    for where, cluster in _clusters(manifest):
        nodes = _pod(cluster["headGroupSpec"]).get("nodeSelector", {})
        if any(str(nodes.get(label)).lower() in ("spot", "true") for label in SPOT):
            key = f"{where}.headGroupSpec.template.spec.nodeSelector"
            yield Finding(
                key, "the head is on a spot node, and with it all jobs end", "choose nodes on demand"
            )


def working_head(manifest: Manifest) -> Iterator[Finding]:
    """Work on the head takes memory from all drivers."""
    for where, cluster in _clusters(manifest):
        if cluster["headGroupSpec"].get("rayStartParams", {}).get("num-cpus") != "0":
            key = f"{where}.headGroupSpec.rayStartParams"
            yield Finding(key, "the head takes work", 'write num-cpus: "0", and a resource for drivers')


def no_role(manifest: Manifest) -> Iterator[Finding]:
    """A pod without an account of its own cannot read the bucket, and would need keys."""
    for where, pod in _pods(manifest):
        if not pod.get("serviceAccountName"):
            yield Finding(where, "the pod has no role, to read the bucket", "write serviceAccountName")


def unpinned(manifest: Manifest) -> Iterator[Finding]:
    """Pods that start later must be as those that are there."""
    for where, pod in _pods(manifest):
        for i, container in enumerate(pod.get("containers", [])):
            yield from unpinned_image(f"{where}.containers[{i}].image", container.get("image", ""))


def root(manifest: Manifest) -> Iterator[Finding]:
    """Who breaks out of a process of root has more of the node."""
    for where, pod in _pods(manifest):
        if not pod.get("securityContext", {}).get("runAsNonRoot"):
            yield Finding(where, "the pod may run as root", "write securityContext: {runAsNonRoot: true}")


def versions(manifest: Manifest) -> Iterator[Finding]:
    for where, cluster in _clusters(manifest):
        stated = {f"{where}.rayVersion": f"ray=={cluster.get('rayVersion', 'none')}"}
        yield from other_versions(stated)
    yield from other_versions(manifest)


MANIFEST_RULES: tuple[Callable[[Manifest], Iterator[Finding]], ...] = (
    *(no_token, open_dashboard, head_on_spot, working_head, no_role, unpinned, root, versions),
)


def _clusters(manifest: Manifest) -> Iterator[tuple[str, Manifest]]:
    """The cluster that a manifest describes, or that its job makes, and its key."""
    if manifest["kind"] == "RayCluster":
        yield "spec", manifest["spec"]
    if manifest["kind"] == "RayJob" and "rayClusterSpec" in manifest["spec"]:
        yield "spec.rayClusterSpec", manifest["spec"]["rayClusterSpec"]


def _pods(manifest: Manifest) -> Iterator[tuple[str, Manifest]]:
    """The pods of a cluster, and their key."""
    for where, cluster in _clusters(manifest):
        yield f"{where}.headGroupSpec.template.spec", _pod(cluster["headGroupSpec"])
        for i, group in enumerate(cluster.get("workerGroupSpecs", [])):
            yield f"{where}.workerGroupSpecs[{i}].template.spec", _pod(group)


def _pod(group: Manifest) -> Manifest:
    return group["template"].get("spec", {})
