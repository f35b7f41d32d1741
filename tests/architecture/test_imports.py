"""Imports go down only."""

from __future__ import annotations

from tests.architecture.imports import ROOMS, circles, imports, rooms_of, upward


def test_no_room_knows_one_above_it_and_no_files_know_each_other_in_a_circle() -> None:
    found = imports()
    assert upward(found) == []
    assert circles(found) == []
    assert set(rooms_of(found)) == set(ROOMS)


def test_what_runs_upwards_or_in_a_circle_is_found() -> None:
    found = {"framework.core.a": {"framework.methods.b"}, "framework.methods.b": {"framework.core.a"}}
    assert upward(found) == [("framework.core.a", "framework.methods.b")]
    assert len(circles(found)) == 2
