"""Imports go down only."""

from __future__ import annotations

from tests.architecture.imports import ROOMS, circles, imports, rooms_of, upward


def test_no_room_knows_one_above_it_and_no_files_know_each_other_in_a_circle() -> None:
    arrows = imports()
    assert upward(arrows) == []
    assert circles(arrows) == []
    assert set(rooms_of(arrows)) == set(ROOMS)


def test_what_runs_upwards_or_in_a_circle_is_found() -> None:
    arrows = {"framework.core.a": {"framework.methods.b"}, "framework.methods.b": {"framework.core.a"}}
    assert upward(arrows) == [("framework.core.a", "framework.methods.b")]
    assert len(circles(arrows)) == 2
