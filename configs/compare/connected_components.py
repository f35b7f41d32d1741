"""Whether a mask that a walk gives in one connected component is right more often than one in several.

    python configs/compare/connected_components.py CORPUS RUN [RUN …] [--threshold 0.65]

RUN is what `scantseg run configs/busi/weak.yaml` makes. The IoU is the mean over the training images whose
true mask shows the class.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from weak_chain import CLASS, showing

from framework.core.storage import Store
from framework.corpus.map_layers import MapLayer
from framework.corpus.reader import Corpus
from framework.labelling.cutting import cut, most_components
from framework.labelling.quality import overlaps


def main(corpus: Corpus, runs: list[Store], threshold: float) -> None:
    means = []
    for run in runs:
        walk = MapLayer(run / "walk", corpus)
        shown = [components_and_iou(walk.maps(s.id), mask, threshold) for s, mask in showing(corpus, "train")]
        components, iou = np.array(shown).T
        one = components == 1
        means.append((iou[one].mean(), iou[~one].mean()))
        counts = f"{one.sum()} masks in one component, {(~one).sum()} in several"
        print(f"{run.name}: {counts}; IoU {means[-1][0]:.3f} and {means[-1][1]:.3f}, of all {iou.mean():.3f}")
    one_component, several = np.mean(means, axis=0)
    print(f"RESULT one_component={one_component:.3f} several={several:.3f}")


def components_and_iou(maps: dict[int, np.ndarray], mask: np.ndarray, threshold: float) -> tuple[int, float]:
    """In how many connected components the class is cut out of its map, and their IoU with the true mask."""
    components = most_components(torch.from_numpy(cut(maps, mask.shape, threshold)))
    return components, overlaps(maps[CLASS], mask, CLASS, [threshold])[0]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus")
    parser.add_argument("runs", nargs="+")
    parser.add_argument("--threshold", type=float, default=0.65)
    given = parser.parse_args()
    main(Corpus.open(given.corpus), [Store.at(run) for run in given.runs], given.threshold)
