"""`scantseg cluster check`: one line a fault, `ok` where there is none, and the exit code for scripts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.cli.support import Scantseg

FILES = Path(__file__).parents[2] / "cluster"


def test_every_file_is_named_with_what_is_wrong(scantseg: Scantseg, tmp_path: Path) -> None:
    ours, broken = FILES / "onprem.yaml", tmp_path / "broken.yaml"
    broken.write_text(ours.read_text().replace("127.0.0.1", "0.0.0.0"))
    fine = scantseg("cluster", "check", ours)
    assert (fine.code, fine.out) == (0, f"{ours}: ok\n")
    found = scantseg("cluster", "check", ours, broken)
    lines = found.out.splitlines()
    assert (found.code, found.err, lines[0]) == (1, "", f"{ours}: ok")
    assert lines[1:] == [
        f"{broken}: head_start_ray_commands[1]: the dashboard listens on 0.0.0.0; "
        "write --dashboard-host=127.0.0.1 and look at it with `ray dashboard FILE`"
    ]


def test_a_file_that_is_not_there_is_one_line(scantseg: Scantseg, tmp_path: Path) -> None:
    assert "no such configuration file" in scantseg("cluster", "check", tmp_path / "none.yaml").complaint


def test_the_command_line_starts_without_ray() -> None:
    code = "import sys, framework.cli.main; sys.exit('ray' in sys.modules or 'botocore' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
