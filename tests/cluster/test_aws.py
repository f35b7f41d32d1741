"""`cluster/aws.yaml` by Ray's own start against an EC2 that writes down what it was asked for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from botocore.exceptions import ClientError

from framework.cluster.rules import SCORER
from tests.cluster.support import Autoscaler

FILE = Path(__file__).parents[2] / "cluster" / "aws.yaml"
IMAGE = "ami-12c6146b"
"""One that moto has."""
RAYS = "ray.autoscaler._private.aws.node_provider"
REGION = yaml.safe_load(FILE.read_text())["provider"]["region"]


@pytest.fixture(scope="module")
def ec2(s3: str) -> Any:
    return boto3.client("ec2", region_name=REGION)


@pytest.fixture(scope="module")
def config(ec2: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """The file as `ray up` has it when it starts machines, of an account with the group and the roles."""
    from ray.autoscaler._private import commands

    network = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    group = ec2.create_security_group(GroupName="scantseg", Description="of the test", VpcId=network)[
        "GroupId"
    ]
    text = FILE.read_text().replace("sg-00000000000000000", group)
    text = text.replace("ami-00000000000000000", IMAGE)
    iam = boto3.client("iam")
    for name in ("scantseg-head", "scantseg-worker"):
        iam.create_instance_profile(InstanceProfileName=name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))  # gets the key pair
        known = ec2.describe_instance_types(InstanceTypes=["m6i.xlarge", "g5.2xlarge"])["InstanceTypes"]
        patch.setattr(f"{RAYS}.list_ec2_instances", lambda *_: known)  # of all types, it takes ten seconds
        yield commands._bootstrap_config(yaml.safe_load(text), no_config_cache=True)


@pytest.fixture(scope="module")
def provider(config: dict[str, Any]) -> Any:
    from ray.autoscaler._private.aws.node_provider import AWSNodeProvider

    return AWSNodeProvider(config["provider"], config["cluster_name"])


@pytest.fixture(scope="module")
def machines(config: dict[str, Any], provider: Any, ec2: Any) -> dict[str, Any]:
    """A machine of each node type, as EC2 has it."""
    for name, node_type in config["available_node_types"].items():
        kind = "head" if name == config["head_node_type"] else "worker"
        tags = {"ray-node-type": kind, "ray-user-node-type": name, "ray-node-status": "uninitialized"}
        provider.create_node(node_type["node_config"], tags, 1)
    started = [each for held in ec2.describe_instances()["Reservations"] for each in held["Instances"]]
    return {tags_of(machine)["ray-user-node-type"]: machine for machine in started}


def tags_of(thing: dict[str, Any]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in thing["Tags"]}


def test_the_head_is_on_demand_and_the_workers_are_as_their_names_say(machines: dict[str, Any]) -> None:
    kinds = {name: (each["InstanceType"], each.get("InstanceLifecycle")) for name, each in machines.items()}
    assert kinds == {
        "head": ("m6i.xlarge", None),
        "gpu-spot": ("g5.2xlarge", "spot"),
        "gpu-on-demand": ("g5.2xlarge", None),
    }


def test_machines_have_a_role_and_no_key(machines: dict[str, Any]) -> None:
    roles = {name: each["IamInstanceProfile"]["Arn"].split("/")[-1] for name, each in machines.items()}
    assert roles == {
        "head": "scantseg-head",
        "gpu-spot": "scantseg-worker",
        "gpu-on-demand": "scantseg-worker",
    }
    assert {each["MetadataOptions"]["HttpTokens"] for each in machines.values()} == {"required"}


def test_machines_are_in_our_group_alone(machines: dict[str, Any], ec2: Any) -> None:
    groups = {group["GroupName"] for machine in machines.values() for group in machine["SecurityGroups"]}
    assert groups == {"scantseg"}
    made = {group["GroupName"] for group in ec2.describe_security_groups()["SecurityGroups"]}
    assert not any(name.startswith("ray-") for name in made)


def test_disks_are_large_encrypted_and_go_with_the_machine(machines: dict[str, Any], ec2: Any) -> None:
    disks = [disk["Ebs"] for machine in machines.values() for disk in machine["BlockDeviceMappings"]]
    volumes = ec2.describe_volumes(VolumeIds=[disk["VolumeId"] for disk in disks])["Volumes"]
    assert {(each["Size"], each["VolumeType"], each["Encrypted"]) for each in volumes} == {(300, "gp3", True)}
    assert {disk["DeleteOnTermination"] for disk in disks} == {True}


def test_everything_is_tagged_for_the_bill(machines: dict[str, Any]) -> None:
    for name, machine in machines.items():
        tags = tags_of(machine)
        assert (tags["project"], tags["ray-cluster-name"], tags["ray-user-node-type"]) == (
            "scantseg",
            "scantseg",
            name,
        )


def test_the_head_takes_no_work_and_workers_have_their_gpu(config: dict[str, Any]) -> None:
    types = config["available_node_types"]
    assert types["head"]["resources"].items() >= {"CPU": 0, "driver": 8}.items()
    assert "GPU" not in types["head"]["resources"] and types["head"]["max_workers"] == 0
    for name in ("gpu-spot", "gpu-on-demand"):
        assert types[name]["resources"].items() >= {"CPU": 8, "GPU": 1, "accelerator_type:A10G": 1}.items()


def test_nothing_that_is_uploaded_holds_the_token(config: dict[str, Any]) -> None:
    assert config["file_mounts"] == {"~/.ray": "~/.ray", "~/scantseg": "dist"}
    assert "auth_token" not in json.dumps(config)


def test_work_gets_machines_on_demand_while_there_is_no_spot(
    config: dict[str, Any], provider: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """EC2 says that it has none, and the autoscaler asks for the other type."""
    monkeypatch.setenv(*SCORER.split("="))
    autoscaler = Autoscaler(config, provider)
    assert autoscaler.wants({"GPU": 1}) == {"gpu-spot": 1}

    def none_left(**_: Any) -> None:
        answer = {"Error": {"Code": "InsufficientInstanceCapacity", "Message": "no spot"}}
        raise ClientError(answer, "RunInstances")  # type: ignore[arg-type]

    monkeypatch.setattr(provider.ec2_fail_fast, "create_instances", none_left)
    autoscaler.launch("gpu-spot")
    assert autoscaler.wants({"GPU": 1}) == {"gpu-on-demand": 1}
