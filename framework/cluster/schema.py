"""What Ray, and the cloud behind it, do not accept in a description of a cluster."""

import contextlib
import copy
import functools
import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from framework.cluster.findings import Finding
from framework.cluster.rules import Config

RAY_FINDS_THEM = "'resources' is a required property"
"""Said of a node type; those of AWS's machines are looked up at the start."""


def refused_by_schema(written: Config) -> Iterator[Finding]:
    """Keys and values that Ray's schema does not have."""
    import jsonschema
    import ray.autoscaler

    schema = json.loads(Path(ray.autoscaler.__file__).with_name("ray-schema.json").read_text())
    for error in jsonschema.Draft7Validator(schema).iter_errors(written):
        if error.message != RAY_FINDS_THEM:
            yield Finding(dotted(error.absolute_path), error.message, "write it as Ray's schema has it")


def refused_by_ray(written: Config) -> Iterator[Finding]:
    """What `ray up` says of a file that the schema accepts, before it starts anything."""
    import click
    import jsonschema
    from ray.autoscaler._private import util

    util.logger.setLevel(logging.ERROR)  # it tells what it fills in
    try:
        with contextlib.redirect_stderr(io.StringIO()):  # it says there what it raises
            util.validate_config(util.prepare_config(_with_resources(written)))
    except jsonschema.ValidationError as error:
        yield Finding(dotted(error.absolute_path), error.message, "write it as Ray's schema has it")
    except KeyError as error:
        yield Finding("file", f"key {error} is missing, and Ray has no default for it", "write it")
    except (ValueError, AssertionError, NotImplementedError, click.ClickException) as error:
        yield Finding("file", str(error).rstrip("."), "change it as Ray says")


def _with_resources(written: Config) -> Config:
    """As Ray has it after it has looked them up."""
    config = copy.deepcopy(written)
    if written["provider"]["type"] == "aws":
        for node_type in config.get("available_node_types", {}).values():
            node_type.setdefault("resources", {})
    return config


def refused_by_ec2(config: Config) -> Iterator[Finding]:
    """What AWS's own description of a start does not have. A list of subnets is Ray's."""
    if config["provider"]["type"] != "aws":
        return
    from botocore.validate import ParamValidator

    for name, node_type in config["available_node_types"].items():
        machine = {key: value for key, value in node_type["node_config"].items() if key != "SubnetIds"}
        report = ParamValidator().validate({**machine, "MinCount": 1, "MaxCount": 1}, _run_instances())
        for line in filter(None, report.generate_report().splitlines()):
            where = f"available_node_types.{name}.node_config"
            yield Finding(where, line, "write it as RunInstances of EC2 has it")


@functools.cache
def _run_instances() -> Any:
    """AWS's description of a start's parameters; to read it takes a fifth of a second."""
    from botocore.session import get_session

    return get_session().get_service_model("ec2").operation_model("RunInstances").input_shape


def refused_by_kuberay(manifest: dict[str, Any]) -> Iterator[Finding]:
    """What KubeRay's custom resources do not have. What a pod may be is left to Kubernetes."""
    import jsonschema

    path = Path(__file__).parent / "schemas" / f"{manifest['kind']}.json"
    if path.exists():
        schema = {"properties": {"spec": _closed(json.loads(path.read_text()))}, "required": ["spec"]}
        for error in jsonschema.Draft7Validator(schema).iter_errors(manifest):
            yield Finding(
                dotted(error.absolute_path), error.message, f"write it as KubeRay's {path.stem} has it"
            )


def _closed(schema: Any) -> Any:
    """A schema of Kubernetes that refuses keys it does not know, which Kubernetes itself drops in silence."""
    if isinstance(schema, list):
        return [_closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: _closed(inner) for key, inner in schema.items()}
    return closed | ({"additionalProperties": False} if isinstance(schema.get("properties"), dict) else {})


def dotted(path: Any) -> str:
    """A place in a description as its reader writes it."""
    parts = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return parts.lstrip(".") or "file"
