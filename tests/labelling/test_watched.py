"""A pass that a lost host has stopped ends, and one that has not goes on."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from framework.labelling import watched as module
from framework.labelling.watched import HostLost, watched


@pytest.fixture
def hosts(monkeypatch: pytest.MonkeyPatch) -> tuple[set[str], set[str]]:
    """The cluster's hosts, and those that it has lost; time runs fast."""
    present, lost = {"a", "b"}, set[str]()
    monkeypatch.setattr(module, "hosts", lambda: (set(present), set(lost)))
    monkeypatch.setattr(module, "STALLED_S", 0.1)
    monkeypatch.setattr(module, "TICK_S", 0.01)
    return present, lost


def stopped(until: threading.Event) -> Iterator[int]:
    yield 1
    until.wait(5)
    yield 2


def test_batches_and_errors_come_as_they_are(hosts: tuple[set[str], set[str]]) -> None:
    def fails() -> Iterator[int]:
        yield 1
        raise ValueError("no such row")

    assert list(watched([1, 2, 3])) == [1, 2, 3]
    with pytest.raises(ValueError, match="no such row"):
        list(watched(fails()))


def test_a_pass_that_stands_still_after_the_loss_of_a_host_ends(hosts: tuple[set[str], set[str]]) -> None:
    come = watched(stopped(threading.Event()))
    assert next(come) == 1
    hosts[0].remove("b")
    hosts[1].add("b")
    with pytest.raises(HostLost):
        next(come)


def test_a_slow_pass_that_has_lost_no_host_is_waited_for(hosts: tuple[set[str], set[str]]) -> None:
    until = threading.Event()
    come = watched(stopped(until))
    assert next(come) == 1
    threading.Timer(0.3, until.set).start()  # longer than a pass may stand still
    hosts[0].remove("b")  # it was idle, and sent away
    hosts[0].add("c")
    assert list(come) == [2]


def test_who_leaves_early_ends_the_pass(hosts: tuple[set[str], set[str]]) -> None:
    taken: list[int] = []
    go_on = threading.Event()

    def numbers() -> Iterator[int]:
        for number in range(1000):
            taken.append(number)
            yield number
            go_on.wait(5)

    come = watched(numbers())
    assert next(come) == 0
    come.close()
    go_on.set()
    assert len(taken) <= 2
