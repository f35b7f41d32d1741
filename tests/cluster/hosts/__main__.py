"""`python -m tests.cluster.hosts`: launches a cluster over two hosts of their own, trains, labels and
searches on it while hosts die and cables are cut, and looks at what became of it. Needs root."""

import sys
import tempfile
import time
from pathlib import Path

from tests.cluster.hosts.closed import closed
from tests.cluster.hosts.hosts import lacking
from tests.cluster.hosts.story import STORIES, launch
from tests.cluster.hosts.team import team


def main() -> None:
    if reason := lacking():
        print(f"RESULT skipped=1 ({reason})")
        return
    with tempfile.TemporaryDirectory(prefix="scantseg-hosts-") as folder, team(2, Path(folder)) as used:
        launch(used, told)
        told(f"ports: {closed(used, told)} tries refused, none let in")
        survived = lost = doubled = 0
        for story in STORIES:
            begun = time.monotonic()
            outcome = story(used)
            survived, lost, doubled = survived + outcome.kills, lost + outcome.lost, doubled + outcome.doubled
            told(f"{outcome.what}: {time.monotonic() - begun:.0f} s")
        used.must(used.run("ray", "down", "-y", str(used.cluster)))
        told("ray down")
    jobs = len(STORIES)
    print(f"RESULT hosts=2 jobs={jobs} survived_kills={survived} rows_lost={lost} rows_doubled={doubled}")
    sys.exit(lost + doubled > 0)


def told(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    main()
