"""A secret and a patient's name where a team has them, and where they must not come out."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from dataclasses import asdict

from framework.cluster.link import linked
from tests.cluster.hosts.team import BUCKET, Team

SECRET, PATIENT = f"planted{secrets.token_hex(16)}", "Planted-Erika-1961"


def plant(team: Team) -> None:
    """A patient's name in files, and as their names, beside the configurations."""
    (team.project / "labels.csv").write_text(f"id,patient\n1,{PATIENT}\n")
    data = team.project / "images"
    data.mkdir()
    (data / f"{PATIENT}.png").write_bytes(b"")
    (data / f"{PATIENT}.txt").write_text(PATIENT)


def leaks(team: Team) -> list[str]:
    """Where either came out: in what the cluster says of its jobs, in logs of Ray, in the bucket."""
    texts = [*_jobs(team), *_logs(team), *_bucket()]
    assert len(texts) > 20, "too little was looked at"
    return [where for where, text in texts if SECRET.encode() in text or PATIENT.encode() in text]


def _jobs(team: Team) -> Iterator[tuple[str, bytes]]:
    """All that the job server holds of each job, its environment and its output among it."""
    os.environ["RAY_AUTH_TOKEN"] = (team.home / ".ray" / "auth_token").read_text()
    with linked(str(team.cluster)) as link:
        client = link.client()
        for info in client.list_jobs():
            if not info.submission_id:
                continue  # a driver that a job has started: the job's own entry holds it
            told = json.dumps(info.dict() if hasattr(info, "dict") else asdict(info), default=str)
            yield f"job {info.submission_id}", told.encode()
            yield f"log of job {info.submission_id}", client.get_job_logs(info.submission_id).encode()


def _logs(team: Team) -> Iterator[tuple[str, bytes]]:
    """What Ray has written on each host: logs, and what jobs took along."""
    for disk in team.hosts.folder.glob("disk*"):
        for path in (disk / "tmp" / "ray").rglob("*"):
            if path.is_file() and not path.is_symlink():
                yield str(path.relative_to(team.hosts.folder)), path.name.encode() + path.read_bytes()


def _bucket() -> Iterator[tuple[str, bytes]]:
    import boto3

    client = boto3.client("s3")
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET.removeprefix("s3://")):
        for each in page["Contents"]:
            body = client.get_object(Bucket=BUCKET.removeprefix("s3://"), Key=each["Key"])["Body"]
            yield each["Key"], each["Key"].encode() + body.read()
