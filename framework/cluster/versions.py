"""Versions that a description names: pinned, and those of this machine."""

import re
import sys
from collections.abc import Iterator
from typing import Any

from framework.cluster.findings import Finding, texts

IMAGE = re.compile(r"(?P<name>[^@]+?)(?::(?P<tag>[\w.-]+))?(?P<digest>@sha256:[0-9a-f]{64})?")
RAY = re.compile(r"\bray(?:\[[\w,]*\]|\.__version__)?(?::|\s*==\s*['\"]?)(\d+\.\d+[\w.]*)")
"""Ray's version in an image's tag, a requirement of pip, or a comparison."""
PYTHON = re.compile(r"\bray:[\w.]+-py(\d)(\d+)")
ANY_RAY = re.compile(r"\bpip3? install\b.*(\bray(\[[\w,]*\])?['\"]?(?![\w.=/:-])(?!\[|\s*==)|ray-wheels)")
"""An installation of whatever Ray there is on that day."""


def is_pinned(image: str) -> bool:
    """Whether an image's name says which version it is, so that all machines have the same."""
    match = IMAGE.fullmatch(image)
    return bool(match and (match["digest"] or re.search(r"\d+\.\d+", match["tag"] or "")))


def unpinned_image(where: str, image: str) -> Iterator[Finding]:
    if not is_pinned(image):
        fault = f"image {image} names no version, so that two machines may differ"
        yield Finding(where, fault, "write one, such as rayproject/ray:2.60.0-py311-gpu, or its @sha256:…")


def unpinned_ray(value: Any) -> Iterator[Finding]:
    """Commands that install the newest Ray: machines that start later would not fit the others."""
    for text in texts(value):
        if ANY_RAY.search(text.text):
            yield Finding(text.where, "installs the newest Ray", 'write its version: "ray[default]==2.60.0"')


def other_versions(value: Any) -> Iterator[Finding]:
    """Ray and Python that are not those of this machine: a cluster takes jobs from its own alone."""
    import ray

    python = "{}.{}".format(*sys.version_info)
    for text in texts(value):
        for version in RAY.findall(text.text):
            if version != ray.__version__:
                mend = f"write {ray.__version__} there, or install {version} here"
                yield Finding(text.where, f"Ray {version} there, {ray.__version__} here", mend)
        for version in map(".".join, PYTHON.findall(text.text)):
            if version != python:
                mend = f"write -py{python.replace('.', '')} there, or use Python {version} here"
                yield Finding(text.where, f"Python {version} there, {python} here", mend)
