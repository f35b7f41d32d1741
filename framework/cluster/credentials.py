"""Credentials that somebody has written into a description, where all who read it have them."""

import re
from collections.abc import Iterator
from typing import Any

from framework.cluster.findings import Finding, Text, texts
from framework.core.errors import without_secrets

FORMS = re.compile(
    r"\b(AKIA|ASIA)[0-9A-Z]{16}\b|-----BEGIN [A-Z ]*PRIVATE KEY"
    r"|\b(gh[pousr]_|github_pat_|glpat-|hf_|ya29\.)[\w-]{16,}"
)
"""Keys that are known by their form: of AWS, SSH and TLS, GitHub, GitLab, Hugging Face and Google."""
NAMES = re.compile(
    r"(?i)(secret(_access)?_?key|access_key_id|api_?key|(?<!ssh_)private_?key|password|passwd|token)$"
)
"""How names of settings end whose value is a credential. Ray's `ssh_private_key` is the name of a file."""
ASSIGNED = re.compile(r"""([\w-]+)\s*=\s*["']?([^\s"';]+)""")
"""A name and its value in a command."""
ELSEWHERE = re.compile(r"[~./$]")
"""Begins values that say where a credential is."""
SHORT = 8
"""Shorter values are words, such as the `token` of RAY_AUTH_MODE."""


def credentials(value: dict[str, Any]) -> Iterator[Finding]:
    """Each text of a description that holds a credential, and secrets of Kubernetes; none is quoted."""
    if value.get("kind") == "Secret" and (value.get("data") or value.get("stringData")):
        yield Finding("data", "holds a credential", "make it with `kubectl create secret`, outside of files")
    for text in texts(value):
        if _is_credential(text):
            fault = "holds a credential, which everybody who reads the file has"
            yield Finding(
                text.where, fault, "make it void; give the machines a role, or mount a file of yours"
            )


def _is_credential(text: Text) -> bool:
    if FORMS.search(text.text) or without_secrets(text.text) != text.text:
        return True
    pairs = [(text.name, text.text), *ASSIGNED.findall(text.text)]
    return any(
        NAMES.search(name) and len(word) >= SHORT and not ELSEWHERE.match(word) for name, word in pairs
    )
