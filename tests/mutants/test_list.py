"""The list of mutants is fresh. `python -m tests.mutants` says whether the tests notice them."""

from __future__ import annotations

from collections import Counter

from tests.architecture.imports import ROOMS
from tests.mutants.mutant import ROOT, mutants


def test_every_mutant_can_be_put_into_the_program() -> None:
    listed = mutants()
    stale = {f"{each.room}: {each.breaks}": why for each in listed if (why := each.stale(ROOT))}
    assert stale == {}
    assert all(each.old != each.new for each in listed)


def test_every_room_has_some_and_no_phrase_is_there_twice() -> None:
    listed = mutants()
    rooms = Counter(each.room for each in listed)
    assert len(listed) >= 60 and {room: min(count, 3) for room, count in rooms.items()} == dict.fromkeys(
        ROOMS, 3
    )
    assert all(each.file.startswith(f"framework/{each.room}/") for each in listed)
    assert len({each.breaks for each in listed}) == len(listed)
