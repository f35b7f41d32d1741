"""Whether a mask that a walk gives in one piece is right more often than one that falls into several, as `max_components` takes it.

    python -m tests.bench.pieces CORPUS RUN [RUN …] [--threshold 0.65]

RUN is what `scantseg run configs/busi/weak.yaml` makes. The IoU is the mean over the training images whose true mask shows the
class.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch

from framework.core.storage import Store
from framework.corpus.map_layers import MapLayer
from framework.corpus.reader import Corpus
from framework.labelling.cutting import cut, most_components
from framework.labelling.map_quality import overlaps
from tests.bench.weak import CLASS, showing


def main(corpus: Corpus, runs: list[Store], threshold: float) -> None:
    means = []
    for run in runs:
        walk = MapLayer(run / "walk", corpus)
        found = np.array(
            [
                piece_count_and_overlap(walk.maps(s.id), mask, threshold)
                for s, mask in showing(corpus, "train")
            ]
        )
        one = found[:, 0] == 1
        means.append((found[one, 1].mean(), found[~one, 1].mean()))
        counts = f"{one.sum()} masks in one piece, {(~one).sum()} in several"
        print(
            f"{run.name}: {counts}; IoU {means[-1][0]:.3f} and {means[-1][1]:.3f}, of all {found[:, 1].mean():.3f}"
        )
    one_piece, several = np.mean(means, axis=0)
    print(f"RESULT one_piece={one_piece:.3f} several={several:.3f}")


def piece_count_and_overlap(
    maps: dict[int, np.ndarray], mask: np.ndarray, threshold: float
) -> tuple[int, float]:
    """In how many pieces the class is cut out of its map, and their IoU with the true mask."""
    pieces = most_components(torch.from_numpy(cut(maps, mask.shape, threshold)))
    return pieces, overlaps(maps[CLASS], mask, CLASS, [threshold])[0]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus")
    parser.add_argument("runs", nargs="+")
    parser.add_argument("--threshold", type=float, default=0.65)
    given = parser.parse_args()
    main(
        Corpus.open(given.corpus),
        [Store.at(run) for run in given.runs],
        given.threshold,
    )
