"""Our manifests have no fault by KubeRay's schema and our rules, and copies with one are told of it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from framework.cluster.files import check
from framework.cluster.versions import other_versions

FILES = Path(__file__).parents[2] / "cluster" / "kuberay"


def of_kind(name: str, kind: str) -> dict[str, Any]:
    manifests = yaml.safe_load_all((FILES / f"{name}.yaml").read_text())
    return next(each for each in manifests if each["kind"] == kind)


@pytest.mark.parametrize("name", ["raycluster", "rayjob", "networkpolicy"])
def test_ours_has_no_fault(name: str) -> None:
    assert check(FILES / f"{name}.yaml") == []


HEAD, GPU = "spec.headGroupSpec", "spec.workerGroupSpecs[0].template.spec"
FAULTS = {
    "no token": (
        "authOptions: {mode: token}",
        "",
        "RayCluster scantseg: spec.authOptions: Ray runs without a token",
    ),
    "token off": ("mode: token", "mode: disabled", "spec.authOptions: Ray runs without a token"),
    "open service": (
        "ClusterIP",
        "LoadBalancer",
        f"{HEAD}.serviceType: the dashboard is reached from outside",
    ),
    "ingress": (
        "serviceType: ClusterIP",
        "enableIngress: true",
        f"{HEAD}.enableIngress: the dashboard is reached",
    ),
    "head on spot": (
        "capacity-type: on-demand",
        "capacity-type: spot",
        "nodeSelector: the head is on a spot node",
    ),
    "head that works": ('num-cpus: "0"', 'num-cpus: "4"', f"{HEAD}.rayStartParams: the head takes work"),
    "no account": ("serviceAccountName: scantseg-worker", "", f"{GPU}: the pod has no role"),
    "newest image": (
        "0.1.0-cuda",
        "latest",
        f"{GPU}.containers[0].image: image registry.example.org/scantseg:latest",
    ),
    "root": ("runAsNonRoot: true, ", "", f"{HEAD}.template.spec: the pod may run as root"),
    "another Ray": ("rayVersion: 2.60.0", "rayVersion: 2.59.0", "spec.rayVersion: Ray 2.59.0 there"),
    "a key in it": (
        "            image: registry.example.org/scantseg:0.1.0-cpu",
        "            image: x:1.0\n            env: [{name: AWS_SECRET_ACCESS_KEY, value: wJalrXUtnFEM}]",
        f"{HEAD}.template.spec.containers[0].env[0].value: holds a credential",
    ),
    "unknown key": ("enableInTreeAutoscaling", "enableAutoscaling", "('enableAutoscaling' was unexpected)"),
    "wrong value": ("version: v2", "version: v3", "spec.autoscalerOptions.version: 'v3' is not one of"),
    "no pods": ("      maxReplicas: 8", "", "spec.workerGroupSpecs[0]: 'maxReplicas' is a required property"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_named(fault: str, tmp_path: Path) -> None:
    right, wrong, line = FAULTS[fault]
    text = (FILES / "raycluster.yaml").read_text()
    assert right in text
    (tmp_path / "cluster.yaml").write_text(text.replace(right, wrong))
    findings = [str(finding) for finding in check(tmp_path / "cluster.yaml")]
    assert any(line in finding for finding in findings), findings


def test_a_secret_in_a_file_is_found(tmp_path: Path) -> None:
    secret = {"kind": "Secret", "metadata": {"name": "token"}, "stringData": {"auth_token": "0123"}}
    (tmp_path / "secret.yaml").write_text(yaml.safe_dump(secret))
    (finding,) = check(tmp_path / "secret.yaml")
    assert str(finding).startswith("Secret token: data: holds a credential; make it with `kubectl")


def test_a_job_describes_the_same_cluster() -> None:
    """But for the recipe, which the driver on the head reads."""
    cluster = of_kind("rayjob", "RayJob")["spec"]["rayClusterSpec"]
    head = cluster["headGroupSpec"]["template"]["spec"]
    assert head.pop("volumes") and head["containers"][0].pop("volumeMounts")
    assert cluster == of_kind("raycluster", "RayCluster")["spec"]


def test_a_job_ends_its_cluster_and_has_a_last_hour() -> None:
    spec = of_kind("rayjob", "RayJob")["spec"]
    assert spec["shutdownAfterJobFinishes"] and spec["activeDeadlineSeconds"]


def test_pods_are_closed_to_all_others() -> None:
    """The policy is for the label that our pods have, in both directions, and lets nobody in by address."""
    policy = of_kind("networkpolicy", "NetworkPolicy")["spec"]
    labels = policy["podSelector"]["matchLabels"]
    spec = of_kind("raycluster", "RayCluster")["spec"]
    for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
        assert group["template"]["metadata"]["labels"] == labels
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    sources = [source for rule in policy["ingress"] for source in rule["from"]]
    assert sources and all(set(source) <= {"podSelector", "namespaceSelector"} for source in sources)
    assert all(rule.get("ports") for rule in policy["ingress"] if rule["from"] != policy["egress"][0]["to"])


def test_the_image_is_pinned_and_runs_as_nobody() -> None:
    text = (FILES / "Dockerfile").read_text()
    assert list(other_versions({"Dockerfile": text})) == []
    assert re.search(r"^FROM python:3\.\d+\.\d+-", text, re.M)
    assert re.findall(r" (torch\S*|\"ray\S*)==[\d.]+", text) == [
        "torch",
        "torchvision",
        '"ray[data,default,train,tune]',
    ]
    assert re.findall(r"^USER (.*)", text, re.M) == ["1000"]


def test_the_image_gets_the_project_alone() -> None:
    ignored = (FILES / "Dockerfile.dockerignore").read_text().splitlines()
    copied = {
        word
        for line in re.findall(r"^COPY (.*) \S+$", (FILES / "Dockerfile").read_text(), re.M)
        for word in line.split()
    }
    assert ignored[0] == "*" and {line[1:] for line in ignored if line.startswith("!")} == copied
