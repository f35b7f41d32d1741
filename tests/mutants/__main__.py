"""`python -m tests.mutants` puts meaningful faults into a copy of the program, one after the other, and names
those that no test notices; `--only TEXT` tries some of them, `--jobs N` so many at a time."""

import argparse
import sys
import time

from tests.mutants.mutant import ROOT, mutants
from tests.mutants.runner import Outcome, healthy, run


def told(outcome: Outcome) -> None:
    mutant = outcome.mutant
    print(f"{outcome.word:8} {outcome.seconds:5.1f} s  {mutant.room}: {mutant.breaks}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--only", default="", help="a text in a mutant's room, phrase or file")
    parser.add_argument("--jobs", type=int, default=2, help="how many at a time")
    options = parser.parse_args()
    begun, chosen = time.perf_counter(), mutants(options.only)
    if stale := [f"{each.room}: {each.breaks}: {why}" for each in chosen if (why := each.stale(ROOT))]:
        sys.exit("\n".join(["these mutants are stale; mend the list:", *stale]))
    if said := healthy(chosen):
        sys.exit(f"{said}\nthe tests fail without any mutant; mend them first")
    outcomes = run(chosen, options.jobs, told)
    for outcome in outcomes:
        if outcome.survived:
            print(f"SURVIVED {outcome.mutant.file}: {outcome.mutant.breaks}")
    survived = sum(outcome.survived for outcome in outcomes)
    print(f"RESULT mutants={len(outcomes)} survived={survived} seconds={time.perf_counter() - begun:.0f}")
    sys.exit(survived > 0)


if __name__ == "__main__":
    main()
