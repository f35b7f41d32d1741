"""Any JSON or YAML file may hold anything: whoever reads it says so in one line that names it."""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from framework.core.artifact import FILE
from framework.core.errors import ScantsegError
from tests.reporting.world import Read, World

DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "list": lambda data: b"[]\n",
    "object": lambda data: b"{}\n",
    "null": lambda data: b"null\n",
    "number": lambda data: b"3\n",
    "half": lambda data: data[: len(data) // 2] + b"\n: [",  # the half alone of a YAML may be a whole one
    "rubbish": lambda data: bytes(range(256)),
}
PASSED_OVER = ("metrics.jsonl", "begun/checkpoints/step-00000001/checkpoint.json", "begun/config.yaml")
"""What a run goes on without, or writes anew: no damage is an error."""


def said(path: Path, data: bytes, reads: Sequence[Read]) -> list[str]:
    """What those who read it say when a file holds this; of a trace more than one line."""
    before, lines = path.read_bytes(), []
    path.write_bytes(data)
    for read in reads:
        try:
            read()
        except ScantsegError as error:
            lines.append(str(error))
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            lines.append(f"{type(error).__name__}: {error}\nat {where.filename}:{where.lineno}")
    path.write_bytes(before)
    return lines


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, phantom_url: str) -> World:
    return World(tmp_path_factory.mktemp("damaged"), phantom_url)


def test_what_is_whole_is_read(world: World) -> None:
    """Else nothing would be known of what is damaged."""
    files = world.files
    assert {path.name for path, _ in files} >= {FILE, "config.yaml", "summary.json", "table.json"}
    ones = {reads[0]: (path, reads) for path, reads in files}.values()
    assert [line for path, reads in ones for line in said(path, path.read_bytes(), reads)] == []


def test_a_file_that_is_not_of_its_size_is_named(world: World) -> None:
    check(world, world.files, DAMAGE["half"])


def test_a_file_whose_form_and_size_are_right_is_named(world: World) -> None:
    """A value edited by hand, or a bit that flipped."""
    files = [(path, reads) for path, reads in world.files if (path.parent / FILE).exists()]
    check(world, files, lambda data: re.sub(rb"[0-8](?=\D*$)", b"9", data, count=1))


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_file_that_is_not_of_its_form_is_named(world: World, damage: str) -> None:
    with world.without_sizes():
        check(world, world.files, DAMAGE[damage])


def check(world: World, files: list[tuple[Path, list[Read]]], damage: Callable[[bytes], bytes]) -> None:
    """Nobody shows a trace, every line names the file, and somebody says a line."""
    faults = []
    for path, reads in files:
        whole = path.read_bytes()
        lines = said(path, damage(whole), reads)
        faults += [f"{path}: {line}" for line in lines if "\n" in line or str(path) not in line]
        is_valid = damage is DAMAGE["list"] and whole.startswith(b"[")
        if not lines and not is_valid and not str(path).endswith(PASSED_OVER):
            faults.append(f"{path}: nobody says anything")
    assert not faults, "\n".join(["", *faults])
