"""Our cluster files have no fault, and a copy of one with a fault is told of it in one line."""

from __future__ import annotations

from pathlib import Path

import pytest
import ray

from framework.cluster.files import check
from framework.core.errors import ConfigError

FILES = Path(__file__).parents[2] / "cluster"


@pytest.mark.parametrize("name", ["aws", "gcp", "onprem"])
def test_ours_has_no_fault(name: str) -> None:
    assert check(FILES / f"{name}.yaml") == []


HEAD, START = "available_node_types.head.node_config", "head_start_ray_commands[1]"
GROUPS = "    SecurityGroupIds: [sg-00000000000000000]"
ROLE = "    IamInstanceProfile: {Name: scantseg-worker}"
FAULTS = {
    "open dashboard": (
        "aws",
        "dashboard-host=127.0.0.1",
        "dashboard-host=0.0.0.0",
        f"{START}: the dashboard",
    ),
    "open dashboard, in words": (
        "onprem",
        "host=127.0.0.1",
        "host ::",
        f"{START}: the dashboard listens on ::",
    ),
    "head without token": (
        "gcp",
        "RAY_AUTH_MODE=token RAY_worker_niceness=0 RAY_enable",
        "RAY_enable",
        START,
    ),
    "worker without token": (
        "onprem",
        "RAY_AUTH_MODE=token RAY_worker_niceness=0;",
        "RAY_worker_niceness=0;",
        "worker_start_ray_commands[1]: starts Ray without a token; export RAY_AUTH_MODE=token before it",
    ),
    "token on no machine": (
        "aws",
        "~/.ray: ~/.ray",
        "~/token: ~/.ray",
        "file_mounts: no machine gets the token",
    ),
    "group of Ray": ("aws", GROUPS, "", f"{HEAD}: Ray makes a security group with SSH open to the world"),
    "open rule": (
        "aws",
        "  cache_stopped_nodes",
        "  security_group: {IpPermissions: [{IpRanges: [{CidrIp: 0.0.0.0/0}]}]}\n  cache_stopped_nodes",
        "provider.security_group.IpPermissions[0]: is open to the world",
    ),
    "head on spot": (
        "aws",
        "InstanceType: m6i.xlarge",
        "InstanceMarketOptions: {MarketType: spot}",
        f"{HEAD}: the head is a spot machine, and with it all jobs end",
    ),
    "Google's head on spot": (
        "gcp",
        "    machineType: n2",
        "    scheduling: [{preemptible: true}]\n    machineType: n2",
        f"{HEAD}: the head is a spot machine",
    ),
    "spot alone": (
        "aws",
        "  gpu-on-demand:\n    resources: {}\n    node_config: {<<: [*gpu, *node]}\n",
        "",
        "available_node_types.gpu-spot.node_config: no node type has this machine on demand",
    ),
    "smaller on demand": (
        "gcp",
        "<<: [*gpu, *node]\n      scheduling: {onHost",
        "<<: [*gpu, *node]\n      machineType: g2-standard-4\n      scheduling: {onHost",
        "available_node_types.gpu-spot.node_config: no node type has this machine on demand",
    ),
    "spot by another name": ("aws", "  gpu-spot:", "  gpu-cheap:", "end its name with 'spot'"),
    "no scorer": ("gcp", ".spot_first.score", ".spot_first.other", f"{START}: while there is no spot"),
    "autoscaler v2": ("aws", "RAY_enable_autoscaler_v2=0", "", f"{START}: while there is no spot"),
    "Google's provider by Ray": (
        "gcp",
        "type: external\n  module: framework.cluster.gcp_provider.SpotFirstGCP",
        "type: gcp",
        "provider: Ray's own provider does not tell the scorer",
    ),
    "image of the day": (
        "aws",
        "ray:2.60.0-py311-cpu",
        "ray:latest-py311",
        "docker.head_image: image rayproject/ray",
    ),
    "image without a tag": (
        "aws",
        "ray:2.60.0-py311-gpu",
        "ray",
        "docker.worker_image: image rayproject/ray names",
    ),
    "image of a family": (
        "gcp",
        "images/common-cu129-ubuntu-2204-nvidia-580-v20260831",
        "images/family/common-cu129",
        f"{HEAD}: the newest image of a family changes by itself",
    ),
    "image of Ray's choice": (
        "aws",
        "    ImageId: ami-00000000000000000",
        "",
        f"{HEAD}: Ray takes an old image",
    ),
    "Ray of the day": ("aws", "tune]==2.60.0", "tune]", "setup_commands[0]: installs the newest Ray"),
    "Ray's own set-up": (
        "aws",
        "\nsetup_commands:",
        "\nhead_setup_commands:",
        "setup_commands[1]: installs the newest",
    ),
    "another Ray": (
        "onprem",
        "== '2.60.0'",
        "== '2.9.3'",
        f"setup_commands[0]: Ray 2.9.3 there, {ray.__version__}",
    ),
    "another Ray's image": (
        "aws",
        "ray:2.60.0-py311-gpu",
        "ray:2.55.1-py311",
        "worker_image: Ray 2.55.1 there",
    ),
    "another Python": ("gcp", "2.60.0-py311-cpu", "2.60.0-py39", "docker.head_image: Python 3.9 there, 3."),
    "worker without role": (
        "aws",
        ROLE,
        "",
        "available_node_types.gpu-spot.node_config: the machine has no role",
    ),
    "Google's without role": (
        "gcp",
        "    serviceAccounts:",
        "    guests:",
        f"{HEAD}: the machine has no role",
    ),
    "plain disk": ("aws", "Encrypted: true", "Encrypted: false", f"{HEAD}: a disk is not encrypted"),
    "disk of the image": (
        "aws",
        "BlockDeviceMappings:",
        "LicenseSpecifications:",
        "node_config: Unknown parameter",
    ),
    "head that works": (
        "aws",
        "CPU: 0, driver: 8",
        "driver: 8",
        "available_node_types.head.resources: the head takes",
    ),
    "head with a GPU": (
        "gcp",
        "CPU: 0, driver: 8",
        "CPU: 0, GPU: 1",
        "available_node_types.head.resources: the head",
    ),
    "key that AWS does not have": (
        "aws",
        "InstanceType: g5",
        "InstanceTyp: g5",
        'Unknown parameter in input: "Inst',
    ),
    "text that is a number": (
        "aws",
        "VolumeSize: 300",
        "VolumeSize: big",
        "Invalid type for parameter BlockDevice",
    ),
    "key that Ray does not have": ("gcp", "max_workers:", "max_worker:", "'max_worker' was unexpected"),
    "type that Ray does not have": (
        "onprem",
        "type: local",
        "type: nimbus",
        "file: Unsupported node provider: nimbus",
    ),
    "hosts left out": ("onprem", "  head_ip: 10.0.0.11", "", "file: Please supply a `head_ip`"),
    "default left out": (
        "gcp",
        "\nhead_setup_commands: []",
        "",
        "file: key 'head_setup_commands' is missing",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_named(fault: str, tmp_path: Path) -> None:
    name, right, wrong, line = FAULTS[fault]
    text = (FILES / f"{name}.yaml").read_text()
    assert right in text
    (tmp_path / "cluster.yaml").write_text(text.replace(right, wrong))
    findings = [str(finding) for finding in check(tmp_path / "cluster.yaml")]
    assert any(line in finding for finding in findings), findings


SECRETS = {
    "a key of AWS": ("echo {} > key", "AKIA" + "IOSFODNN7EXAMPLE"),
    "a name and its value": ("export AWS_SECRET_ACCESS_KEY={}; ray stop", "wJalrXUtnFEMIK7MDENGbPxRfiCY"),
    "a token of Ray": ("RAY_AUTH_TOKEN={} ray stop", "3f0c9d2a7be84411"),
    "a private key": ("echo '-----BEGIN OPENSSH PRIVATE KEY-----{}'", "b3BlbnNzaC1rZXktdjE"),
    "an address": ("git clone https://anna:{}@example.org/scans.git", "hunter2"),
    "a token of Google": ("curl --oauth2-bearer {}", "ya29." + "a0-B" * 9),
    "a token of GitHub": ("pip install git+https://example.org/x --token {}", "ghp_" + "a1B2" * 9),
    "what YAML takes for a key": ("login password: {}", "hunter2-hunter2"),
}


@pytest.mark.parametrize("kind", SECRETS)
def test_a_credential_is_found_and_not_quoted(kind: str, tmp_path: Path) -> None:
    line, secret = SECRETS[kind]
    text = (FILES / "onprem.yaml").read_text()
    written = text.replace("~/scantseg-environment/bin/ray stop", line.format(secret), 1)
    (tmp_path / "cluster.yaml").write_text(written)
    (finding,) = check(tmp_path / "cluster.yaml")
    assert finding.where.startswith("head_start_ray_commands[0]") and "holds a credential" in finding.fault
    assert secret not in str(finding)


def test_the_name_of_a_key_s_file_is_none(tmp_path: Path) -> None:
    text = (FILES / "onprem.yaml").read_text()
    (tmp_path / "cluster.yaml").write_text(text.replace("~/.ssh/id_ed25519", "keys/scantseg.pem"))
    assert check(tmp_path / "cluster.yaml") == []


@pytest.mark.parametrize("text", ["", "- a\n", "name: mine\ncorpus: {path: corpora/mine}\n"])
def test_a_file_of_something_else_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "train.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"train.yaml: describes no cluster; give a file"):
        check(tmp_path / "train.yaml")
