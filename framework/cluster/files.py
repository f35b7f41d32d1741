"""Files that describe a cluster, for `ray up` or for Kubernetes, and all that is wrong with one of them."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from framework.cluster.credentials import credentials
from framework.cluster.findings import Finding
from framework.cluster.manifests import MANIFEST_RULES, Manifest
from framework.cluster.rules import RULES, Config
from framework.cluster.schema import refused_by_ec2, refused_by_kuberay, refused_by_ray, refused_by_schema
from framework.core.config_files import documents
from framework.core.errors import ConfigError


def check(path: str | Path) -> list[Finding]:
    """What is wrong with a file: by the rules of Ray and the cloud, or where those are kept, by ours.

    Where it holds a credential nothing else is said: Ray's messages quote what they complain of.

    Raises `ConfigError` for a file that cannot be read or describes no cluster.
    """
    described = [each for each in documents(path) if isinstance(each, dict)]
    if len(described) == 1 and "provider" in described[0]:
        return _check_launcher(described[0])
    if described and all("kind" in each for each in described):
        return [finding for each in described for finding in _check_manifest(each)]
    raise ConfigError(f"{path}: describes no cluster; give a file of `ray up`, or manifests of Kubernetes")


def _check_launcher(written: Config) -> list[Finding]:
    if findings := [*credentials(written)] or [*refused_by_schema(written)] or [*refused_by_ray(written)]:
        return findings
    from ray.autoscaler._private.providers import _get_default_config

    config = {**_get_default_config(written["provider"]), **written}
    return [*refused_by_ec2(config)] or [finding for rule in RULES for finding in rule(config)]


def _check_manifest(manifest: Manifest) -> Iterator[Finding]:
    """Findings whose key begins with the kind of the manifest and its name."""
    by_rule = (finding for rule in MANIFEST_RULES for finding in rule(manifest))
    for finding in [*credentials(manifest)] or [*refused_by_kuberay(manifest)] or by_rule:
        where = f"{manifest['kind']} {manifest.get('metadata', {}).get('name')}: {finding.where}"
        yield replace(finding, where=where)
