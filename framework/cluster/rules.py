"""What a file of `ray up` must not say, whatever Ray allows: one small function a rule."""

import re
from collections.abc import Callable, Iterator
from typing import Any

from framework.cluster.findings import Finding
from framework.cluster.spot_first import SUFFIX
from framework.cluster.versions import other_versions, unpinned_image, unpinned_ray

Config = dict[str, Any]
"""A cluster file, with Ray's defaults for the keys that it does not have."""
WORLD = {"0.0.0.0/0", "::/0"}
SCORER = "RAY_AUTOSCALER_UTILIZATION_SCORER=framework.cluster.spot_first.score"
AUTOSCALER_V1 = "RAY_enable_autoscaler_v2=0"
TOKEN_FOLDER = "~/.ray"
GCP_PROVIDER = "framework.cluster.gcp_provider.SpotFirstGCP"


def open_dashboard(config: Config) -> Iterator[Finding]:
    """Whoever reaches the dashboard runs code on the cluster."""
    for where, command in _starts(config, "head_start_ray_commands"):
        for host in re.findall(r"--dashboard-host[= ]['\"]?([\w.:]+)", command):
            if host not in ("127.0.0.1", "localhost"):
                mend = "write --dashboard-host=127.0.0.1 and look at it with `ray dashboard FILE`"
                yield Finding(where, f"the dashboard listens on {host}", mend)


def no_token(config: Config) -> Iterator[Finding]:
    """Without one, a cluster answers everybody who reaches it."""
    for key in ("head_start_ray_commands", "worker_start_ray_commands"):
        for where, command in _starts(config, key):
            if "RAY_AUTH_MODE=token" not in command:
                yield Finding(where, "starts Ray without a token", "export RAY_AUTH_MODE=token before it")
    if TOKEN_FOLDER not in {target.rstrip("/") for target in config.get("file_mounts", {})}:
        mend = f"write {TOKEN_FOLDER}: {TOKEN_FOLDER}, where `ray get-auth-token --generate` puts it"
        yield Finding("file_mounts", "no machine gets the token", mend)


def open_firewall(config: Config) -> Iterator[Finding]:
    """The group that Ray makes where none is named lets the whole world try SSH, as do open rules."""
    mend = "make a group with SSH from your address alone, and name it in SecurityGroupIds of every node type"
    rules = config["provider"].get("security_group", {}).get("IpPermissions", [])
    for i, rule in enumerate(rules):
        sources = [*rule.get("IpRanges", []), *rule.get("Ipv6Ranges", [])]
        if WORLD & {address for source in sources for address in source.values()}:
            yield Finding(f"provider.security_group.IpPermissions[{i}]", "is open to the world", mend)
    for where, machine in _machines(config, "aws").items():
        groups = [group for network in machine.get("NetworkInterfaces", []) for group in network["Groups"]]
        if not machine.get("SecurityGroupIds", groups):
            yield Finding(where, "Ray makes a security group with SSH open to the world", mend)


def head_on_spot(config: Config) -> Iterator[Finding]:
    """With its head a cluster loses its jobs."""
    head = _head(config)
    if _is_spot(_machines(config).get(head, {})):
        yield Finding(
            head, "the head is a spot machine, and with it all jobs end", "leave out the spot option"
        )


def no_fallback(config: Config) -> Iterator[Finding]:
    """Work waits for ever while the cloud has no spot machines, unless there is another type and a scorer."""
    workers = {where: machine for where, machine in _machines(config).items() if where != _head(config)}
    on_demand = [_shape(machine) for machine in workers.values() if not _is_spot(machine)]
    for where, machine in workers.items():
        if _is_spot(machine) and _shape(machine) not in on_demand:
            fault = "no node type has this machine on demand, for when there is no spot"
            yield Finding(where, fault, "add one that differs in the spot option alone")
        if _is_spot(machine) and not where.removesuffix(".node_config").endswith(SUFFIX):
            yield Finding(where, "the scorer does not see that this is spot", f"end its name with '{SUFFIX}'")
    if any(map(_is_spot, workers.values())):
        yield from _no_scorer(config)


def _no_scorer(config: Config) -> Iterator[Finding]:
    for where, command in _starts(config, "head_start_ray_commands"):
        if SCORER not in command or AUTOSCALER_V1 not in command:
            fault = "while there is no spot, Ray asks for it again and again"
            yield Finding(where, fault, f"export {AUTOSCALER_V1} {SCORER} before it")
    if config["provider"]["type"] == "gcp":
        fault = "Ray's own provider does not tell the scorer that there is no spot"
        yield Finding("provider", fault, f"write type: external and module: {GCP_PROVIDER}")


def unpinned(config: Config) -> Iterator[Finding]:
    """Machines that start later must be as those that are there."""
    for key, image in config.get("docker", {}).items():
        if key in ("image", "head_image", "worker_image"):
            yield from unpinned_image(f"docker.{key}", image)
    for where, machine in _machines(config).items():
        images = [
            disk.get("initializeParams", {}).get("sourceImage", "") for disk in machine.get("disks", [])
        ]
        if any("/family/" in image for image in images):
            yield Finding(where, "the newest image of a family changes by itself", "name the image itself")
    for where, machine in _machines(config, "aws").items():
        if not machine.get("ImageId"):
            yield Finding(where, "Ray takes an old image of its own, Ubuntu 18.04", "name an ImageId")
    yield from unpinned_ray(config)


def versions(config: Config) -> Iterator[Finding]:
    yield from other_versions(config)


def no_role(config: Config) -> Iterator[Finding]:
    """A machine without a role cannot read the bucket, and would need keys."""
    for platform, key in (("aws", "IamInstanceProfile"), ("gcp", "serviceAccounts")):
        for where, machine in _machines(config, platform).items():
            if not machine.get(key):
                yield Finding(where, "the machine has no role of yours, to read the bucket", f"write {key}")


def plain_disk(config: Config) -> Iterator[Finding]:
    """Images of patients are spilled to disk. Google encrypts all disks, AWS those for which it is said."""
    for where, machine in _machines(config, "aws").items():
        disks = [mapping.get("Ebs", {}) for mapping in machine.get("BlockDeviceMappings", [])]
        if not disks or not all(disk.get("Encrypted") for disk in disks):
            mend = "write BlockDeviceMappings with Ebs: {VolumeSize: 300, VolumeType: gp3, Encrypted: true}"
            yield Finding(where, "a disk is not encrypted", mend)


def working_head(config: Config) -> Iterator[Finding]:
    """Work on the head takes memory from all drivers. On hosts of one's own, which cost nothing, it may."""
    if _head(config) in _machines(config):
        name = config["head_node_type"]
        resources = config["available_node_types"][name].get("resources", {})
        if resources.get("CPU") != 0 or resources.get("GPU"):
            mend = "write CPU: 0, and a resource of its own for drivers: driver: 8"
            yield Finding(f"available_node_types.{name}.resources", "the head takes work", mend)


RULES: tuple[Callable[[Config], Iterator[Finding]], ...] = (
    *(open_dashboard, no_token, open_firewall, head_on_spot, no_fallback),
    *(unpinned, versions, no_role, plain_disk, working_head),
)


def _starts(config: Config, key: str) -> Iterator[tuple[str, str]]:
    """The commands of a list that start Ray, each with its key."""
    for i, command in enumerate(config[key]):
        if re.search(r"\bray start\b", command):
            yield f"{key}[{i}]", command


def _machines(config: Config, *platforms: str) -> dict[str, Config]:
    """The machines of a cloud by their key; a launch template says elsewhere what they are."""
    provider = config["provider"]
    platform = "gcp" if provider.get("module") == GCP_PROVIDER else provider["type"]
    if platform not in (platforms or ("aws", "gcp")):
        return {}
    machines = {name: node_type["node_config"] for name, node_type in config["available_node_types"].items()}
    return {_key(name): machine for name, machine in machines.items() if "LaunchTemplate" not in machine}


def _head(config: Config) -> str:
    return _key(config.get("head_node_type", ""))


def _key(node_type: str) -> str:
    return f"available_node_types.{node_type}.node_config"


def _is_spot(machine: Config) -> bool:
    """By AWS's option, or Google's; Ray's examples write Google's as a list."""
    scheduling = machine.get("scheduling", {})
    options = scheduling if isinstance(scheduling, list) else [scheduling]
    is_google = any(each.get("preemptible") or each.get("provisioningModel") == "SPOT" for each in options)
    return is_google or machine.get("InstanceMarketOptions", {}).get("MarketType") == "spot"


def _shape(machine: Config) -> tuple[Any, ...]:
    return tuple(str(machine.get(key)) for key in ("InstanceType", "machineType", "guestAccelerators"))
