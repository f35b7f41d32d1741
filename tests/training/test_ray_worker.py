"""What becomes of a rank's error, without Ray's workers."""

from __future__ import annotations

import copy
import re
from pathlib import Path

import pytest
from ray.train.v2._internal.exceptions import WorkerGroupStartupTimeoutError
from ray.train.v2._internal.execution.controller.state import ReschedulingState, RunningState
from ray.train.v2.api.exceptions import ControllerError, WorkerGroupError

from framework.core import errors
from framework.core.errors import ResourceError, ScantsegError, TrainingError, Unreachable
from framework.core.storage import Store
from framework.training.ray_trainer import _cause
from framework.training.ray_worker import EndOfWaiting, EndOnError, WorkerBug, told, wish_to_stop
from tests.contract.support import tiny_run

KINDS = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, ScantsegError)]
LOST = RuntimeError("[gloo/transport/tcp/pair.cc:545] Read error [127.0.0.1]:8631: Connection reset by peer")
LATE = RuntimeError("[gloo/transport/tcp/unbound_buffer.cc:78] Timed out waiting 3000ms for recv operation")


def sent(error: Exception) -> ControllerError:
    """What Ray gives of an error to whoever started the run: all is made anew from its parts."""
    return copy.deepcopy(ControllerError(error))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind is not Unreachable])
def test_an_error_for_the_reader_ends_the_run_as_it_is(kind: type[ScantsegError], tmp_path: Path) -> None:
    error = told(kind("corpus c: image 'x' is damaged"), tiny_run("c", "supervised", tmp_path))
    with pytest.raises(kind) as raised:
        EndOnError().after_exception(None, {1: error})
    there = _cause(sent(raised.value), "r")
    assert (type(there), str(there)) == (kind, "corpus c: image 'x' is damaged")


def test_workers_whose_bucket_does_not_answer_are_started_anew(tmp_path: Path) -> None:
    """A cut cable may be mended: Ray counts it as the loss of a worker, and the last one is told as it is."""
    error = told(Unreachable("s3://scans/rows-0.parquet: no answer"), tiny_run("c", "supervised", tmp_path))
    EndOnError().after_exception(None, {1: error})
    last = _cause(WorkerGroupError("a worker failed", {1: error}), "r")
    assert isinstance(last, Unreachable) and str(last) == "s3://scans/rows-0.parquet: no answer"


def test_a_bug_ends_the_run_with_its_trace(tmp_path: Path) -> None:
    try:
        raise ZeroDivisionError("ours")
    except ZeroDivisionError as error:
        bug = told(error, tiny_run("c", "supervised", tmp_path))
    with pytest.raises(WorkerBug) as raised:
        EndOnError().after_exception(None, {0: bug})
    there = _cause(sent(raised.value), "r")
    assert isinstance(there, WorkerBug)
    assert re.search(r"(?s)in rank 0:\nTraceback .*test_ray_worker.py.*ZeroDivisionError", str(there))


def test_a_rank_that_does_not_come_is_told_with_the_setting(tmp_path: Path) -> None:
    error = told(LATE, tiny_run("c", "supervised", tmp_path))
    assert isinstance(error, TrainingError)
    assert str(error).startswith("run 'supervised': rank 0 waited 300 s for another, which hangs or is slow")


def test_a_run_without_room_ends_after_its_minutes_and_others_go_on() -> None:
    callback = EndOfWaiting("r", "2 x (1 CPU)", 30)
    callback.after_controller_state_update(None, ReschedulingState(ControllerError(ValueError())))
    callback.after_controller_state_update(None, RunningState())
    with pytest.raises(ResourceError) as raised:
        timeout = ControllerError(WorkerGroupStartupTimeoutError(2))
        callback.after_controller_state_update(None, ReschedulingState(timeout))
    fault = "run 'r': for 30 min the cluster had no room for 2 x (1 CPU)"
    assert str(raised.value).startswith(f"{fault}; the same command continues when hosts are back")


def test_what_the_loss_of_a_worker_causes_is_left_to_ray(tmp_path: Path) -> None:
    run = tiny_run("c", "supervised", tmp_path)
    EndOnError().after_exception(None, {0: told(LOST, run), 1: RuntimeError("the actor died")})
    given_up = _cause(WorkerGroupError("The actor died.", {1: LOST}), "r")
    assert str(given_up) == "run 'r': The actor died.; run the same command again to continue"


def test_the_wish_to_stop_is_heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("framework.training.ray_worker.LOOK_S", 0.001)
    store = Store.at(tmp_path)
    is_asked = wish_to_stop(store, "stop-1")
    assert not is_asked()
    store.write_text("stop-1", "")
    assert is_asked.__self__.wait(10)  # type: ignore[attr-defined]
