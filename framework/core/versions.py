"""Versions of what a job's client and all its nodes must have in common."""

import json
import os
import platform

import framework
from framework.core.errors import ResourceError

Versions = dict[str, str]
CLIENT = "SCANTSEG_CLIENT"
"""Environment variable of a job: the versions of who sent it, as JSON."""


def versions() -> Versions:
    """Of Ray, Python (its minor version, as pickles want it) and scantseg, in this process."""
    from importlib.metadata import version

    python = ".".join(platform.python_version_tuple()[:2])
    return {"ray": version("ray"), "python": python, "scantseg": framework.__version__}


def require_clients() -> None:
    """Raise `ResourceError` in a job that was sent by other versions than those here."""
    if CLIENT not in os.environ:
        return
    sent, here = json.loads(os.environ[CLIENT]), versions()
    if differing := [f"{name} {here[name]}, and {sent[name]}" for name in here if here[name] != sent[name]]:
        fault = f"the cluster has {', '.join(differing)} sent this job"
        raise ResourceError(f"{fault}; install the same on both sides")
