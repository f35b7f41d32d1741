"""How a job is sent, followed and tried again, with a job server of our own making."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from framework.cli.main import app
from framework.cluster import submission
from framework.cluster.link import Link, linked
from framework.cluster.submission import STOPPED, Submission, follow, submit
from framework.core.errors import ConfigError, ResourceError, StorageError
from framework.core.versions import CLIENT, require_clients, versions


class Status(str):
    def is_terminal(self) -> bool:
        return self != "RUNNING"


@dataclass
class Info:
    submission_id: str
    status: Status
    driver_exit_code: int | None
    message: str = ""


@dataclass
class Server:
    """Ends its jobs with `codes`, one after the other; each writes `text`, and `breaks` connections break
    after so many characters."""

    codes: list[int | None] = field(default_factory=lambda: [0])
    text: str = "step 1\nstep 2\nstep 3\n"
    breaks: list[int] = field(default_factory=list)
    sent: list[dict[str, Any]] = field(default_factory=list)
    away: int = 0
    address: str = "http://127.0.0.1:8265"

    def client(self) -> Server:
        if self.away:
            self.away -= 1
            raise ResourceError("no job server answers")
        return self

    def submit_job(self, **job: Any) -> str:
        self.sent.append(job)
        return job["submission_id"]

    def list_jobs(self) -> list[Info]:
        return [self.get_job_info(job["submission_id"]) for job in self.sent]

    def get_job_info(self, job: str) -> Info:
        number = [sent["submission_id"] for sent in self.sent].index(job)
        code = self.codes[number]
        status = {0: "SUCCEEDED", STOPPED: "STOPPED"}.get(code, "FAILED")  # type: ignore[arg-type]
        return Info(job, Status(status), code, "the node of its driver was lost")

    async def tail_job_logs(self, job: str) -> AsyncIterator[str]:
        if self.breaks:
            yield self.text[: self.breaks.pop(0)]
            self.away = 2
            raise RuntimeError("WebSocket connection closed unexpectedly")
        for line in self.text.splitlines(keepends=True):
            yield line


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that is submitted from; nothing waits."""
    (tmp_path / "mine.yaml").write_text("name: mine\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(submission, "AGAIN_S", 0.0)
    return tmp_path


def ends(server: Any, retries: int = 0, storage: str | None = None) -> tuple[int, list[str]]:
    lines: list[str] = []
    code = submit(server, Submission.of(["train", "mine.yaml"], storage), retries, lines.append)
    return code, lines


@pytest.mark.parametrize("words", [["train", "mine.yaml", "seed=1"], ["mine.yaml", "train", "seed=1"]])
def test_a_command_may_begin_with_its_verb_or_its_description(words: list[str]) -> None:
    assert Submission.of(words, None).words == ("train", "mine.yaml", "seed=1")


def test_what_is_sent_holds_the_command_the_storage_and_nothing_of_this_machine() -> None:
    server = Server()
    ends(server, storage="s3://scans/team")
    (job,) = server.sent
    assert job["entrypoint"] == "python -m framework.cli train mine.yaml"
    variables = job["runtime_env"]["env_vars"]
    assert variables["SCANTSEG_STORAGE"] == "s3://scans/team"
    assert variables["SCANTSEG_JOB"] == job["submission_id"] and variables["SCANTSEG_ATTEMPT"] == "1"
    assert set(job) == {"entrypoint", "runtime_env", "submission_id"}
    allowed = ("SCANTSEG_", "RAY_JOB_STOP_WAIT_TIME_S", "PYTHONUNBUFFERED")
    assert all(name.startswith(allowed) for name in variables)


@pytest.mark.parametrize(("code", "ended"), [(0, 0), (1, 1), (130, 130), (STOPPED, STOPPED), (None, 1)])
def test_the_job_s_exit_code_is_ours(code: int | None, ended: int) -> None:
    got, lines = ends(Server([code]))
    assert got == ended
    assert ("the node of its driver was lost" in lines[-1]) == (code is None)


def test_a_job_that_failed_is_tried_again_under_another_id() -> None:
    server = Server([1, None, 0])
    code, lines = ends(server, retries=2)
    assert code == 0
    first, second, third = (job["submission_id"] for job in server.sent)
    assert (second, third) == (f"{first}-attempt-2", f"{first}-attempt-3")
    names = {job["runtime_env"]["env_vars"]["SCANTSEG_JOB"] for job in server.sent}
    assert names == {first}  # attempts of one job know each other
    assert "the job ended with code 1; attempt 2 of 3 goes on from there" in lines


def test_a_stopped_job_is_not_tried_again() -> None:
    server = Server([STOPPED])
    assert ends(server, retries=2)[0] == STOPPED and len(server.sent) == 1


def test_a_lost_connection_is_made_again_and_nothing_is_shown_twice() -> None:
    code, lines = ends(Server(breaks=[9, 15]))
    assert code == 0
    assert [line for line in lines if line.startswith("st")] == ["step 1", "step 2", "step 3"]
    assert sum("connection to the cluster is lost" in line for line in lines) == 2


def test_an_output_that_cannot_be_followed_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The job server answers, and the host with the job's output does not."""
    monkeypatch.setattr(submission, "GIVEN_UP_S", 0.05)
    server = Server(breaks=[0] * 10_000)
    server.sent.append({"submission_id": "j"})
    lines: list[str] = []
    with pytest.raises((ResourceError, RuntimeError)):
        follow(server, "j", lines.append)  # type: ignore[arg-type]
    assert sum("connection to the cluster is lost" in line for line in lines) == 1


def test_a_cluster_that_does_not_come_back_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submission, "GIVEN_UP_S", 0.0)
    server = Server(breaks=[3])
    server.sent.append({"submission_id": "j"})
    with pytest.raises(ResourceError, match="no job server answers"):
        follow(server, "j", lambda line: None)  # type: ignore[arg-type]


def test_a_job_that_is_not_known_is_said() -> None:
    with pytest.raises(ConfigError, match=r"^job 'x': not known to the cluster"):
        follow(Server(), "x", lambda line: None)  # type: ignore[arg-type]


def test_a_description_outside_the_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^../other.yaml: is not below this folder"):
        Submission.of(["train", "../other.yaml"], None)


def test_a_description_that_is_not_there_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^none.yaml: no such configuration file"):
        Submission.of(["train", "none.yaml"], None)


def test_a_command_that_is_none_is_refused_before_anything_is_sent() -> None:
    ended = CliRunner().invoke(app, ["submit", "--cluster", "127.0.0.1:9", "--", "trian", "mine.yaml"])
    assert str(ended.exception) == "'trian': no command of scantseg; did you mean 'train'?"


def test_a_storage_with_a_secret_in_it_is_refused() -> None:
    with pytest.raises(StorageError, match="credentials by the environment"):
        Submission.of(["train", "mine.yaml"], "s3://key:secret@scans/team")


def test_other_versions_on_the_cluster_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    require_clients()  # no job
    monkeypatch.setenv(CLIENT, json.dumps(versions()))
    require_clients()
    monkeypatch.setenv(CLIENT, json.dumps(versions() | {"scantseg": "9.9", "python": "3.4"}))
    with pytest.raises(ResourceError, match=r"has python .*, and 3.4, scantseg .*, and 9.9 sent"):
        require_clients()


def test_a_cluster_file_that_is_not_there_is_said() -> None:
    with pytest.raises(ResourceError, match=r"^none.yaml: no such cluster file"):
        Link("none.yaml")


def test_a_tunnel_that_does_not_open_says_why(tmp_path: Path) -> None:
    (tmp_path / "down.yaml").write_text("cluster_name: down\n")
    with linked("down.yaml") as link, pytest.raises(ResourceError) as raised:
        link.client()
    told = r"down.yaml: no tunnel to the cluster's head \(.+\); is it up\? `ray up down.yaml`"
    assert re.fullmatch(told, str(raised.value))
