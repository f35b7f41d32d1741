"""`python -m tests.cluster.hosts`: launches a cluster over two hosts of their own, trains, labels and
searches on it while hosts die and cables are cut, and looks at what became of it. Needs root."""

import sys
import tempfile
import time
from pathlib import Path

from tests.cluster.hosts.closed import closed
from tests.cluster.hosts.hosts import lacking
from tests.cluster.hosts.planted import SECRET, leaks, plant
from tests.cluster.hosts.story import STORIES, Outcome, launch
from tests.cluster.hosts.team import team


def main() -> None:
    if reason := lacking():
        print(f"RESULT skipped=1 ({reason})")
        return
    with tempfile.TemporaryDirectory(prefix="scantseg-hosts-") as folder:
        outcomes = run(Path(folder))
    kills, lost, doubled = (
        sum(getattr(each, of) for each in outcomes) for of in ("kills", "lost", "doubled")
    )
    jobs = f"jobs={len(outcomes)} survived_kills={kills}"
    print(f"RESULT hosts=2 {jobs} rows_lost={lost} rows_doubled={doubled}")
    sys.exit(lost + doubled > 0)


def run(folder: Path) -> list[Outcome]:
    """What became of each story; fails where one does not end well, or somebody gets in, or a secret out."""
    with team(2, folder, SECRET) as used:
        plant(used)
        launch(used, told)
        told(f"ports: {closed(used, told)} tries, all refused")
        outcomes = []
        for story in STORIES:
            begun = time.monotonic()
            outcomes.append(story(used))
            told(f"{outcomes[-1].what}: {time.monotonic() - begun:.0f} s")
        assert not (out := leaks(used)), f"a secret or a patient's name came out: {out}"
        told("a planted secret and a patient's name: nowhere")
        used.must(used.run("ray", "down", "-y", str(used.cluster)))
        told("ray down")
    return outcomes


def told(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    main()
