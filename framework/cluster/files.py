"""Files that describe a cluster, for `ray up` or for Kubernetes, and all that is wrong with one of them."""

from pathlib import Path

from framework.cluster.findings import Finding
from framework.cluster.rules import RULES, Config
from framework.cluster.schema import refused_by_ec2, refused_by_ray, refused_by_schema
from framework.core.config_files import documents
from framework.core.errors import ConfigError


def check(path: str | Path) -> list[Finding]:
    """What is wrong with a file: by Ray's and the cloud's own rules, and where Ray's are kept, by ours.

    Raises `ConfigError` for a file that cannot be read or describes no cluster.
    """
    described = [each for each in documents(path) if isinstance(each, dict)]
    if len(described) == 1 and "provider" in described[0]:
        return _check_launcher(described[0])
    raise ConfigError(f"{path}: describes no cluster; give a file of `ray up`")


def _check_launcher(written: Config) -> list[Finding]:
    if refused := [*refused_by_schema(written)] or [*refused_by_ray(written)]:
        return refused
    from ray.autoscaler._private.providers import _get_default_config

    config = {**_get_default_config(written["provider"]), **written}
    return [*refused_by_ec2(config)] or [finding for rule in RULES for finding in rule(config)]
