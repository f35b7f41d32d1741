"""Whether the weights that DII gives to weak masks tell good ones from bad ones.

    python configs/compare/trusted_masks.py CORPUS LAYER RUN [RUN ...]

RUNs are models of `dcr` with indicators that learnt from LAYER, simulated from true masks, which the
corpus still has. A weak mask's quality is its Dice with the true one, the mean over the classes that
either shows.
"""

from __future__ import annotations

import argparse

import numpy as np
from scipy.stats import spearmanr

from framework.core.labels import IGNORE
from framework.core.storage import Store
from framework.corpus.label_layers import Layer
from framework.corpus.reader import Corpus
from framework.metrics.case_masks import CaseMasks
from framework.metrics.overlap import Dice


def main(corpus: Corpus, layer: Layer, runs: list[Store]) -> None:
    weights = [weights_of(run) for run in runs]
    quality = quality_of(corpus, layer, list(weights[0]))
    qualities = np.array(list(quality.values()))
    by_run = [compared(np.array([by_id[name] for name in quality]), qualities) for by_id in weights]
    correlation, least, most = np.mean(by_run, axis=0)
    extremes = f"Dice of the tenth trusted least and most: {least:.3f} and {most:.3f}"
    print(f"{len(quality)} weak masks, {len(runs)} runs; {extremes}")
    print(f"RESULT spearman={correlation:.2f} least={least:.3f} most={most:.3f}")


def weights_of(run: Store) -> dict[str, float]:
    """The weight of each weak image of a run."""
    table = (run / "indicators").read_table("rows-00000.parquet")
    return dict(zip(table["id"].to_pylist(), table["weight"].to_pylist(), strict=True))


def quality_of(corpus: Corpus, layer: Layer, names: list[str]) -> dict[str, float]:
    """The Dice of each weak mask; images that show nothing in either mask are left out."""
    quality = {}
    for sample in corpus.rows(names):
        truth = sample.mask
        assert truth is not None, f"{sample.id} has no true mask"
        weak = layer.mask(sample.id, truth.shape)
        shown = (set(np.unique(truth)) | set(np.unique(weak))) - {0, IGNORE}
        values = (Dice().value(CaseMasks.of(truth == k, weak == k)) for k in shown)
        if scores := [value for value in values if value is not None]:
            quality[sample.id] = float(np.mean(scores))
    return quality


def compared(weight: np.ndarray, quality: np.ndarray) -> tuple[float, float, float]:
    """Spearman's correlation, and the mean quality of the tenth with the least and with the largest weights;
    of more than a tenth where many are equal."""
    least, most = np.quantile(weight, [0.1, 0.9])
    correlation, _ = np.asarray(spearmanr(weight, quality), float)
    return float(correlation), quality[weight <= least].mean(), quality[weight >= most].mean()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus")
    parser.add_argument("layer")
    parser.add_argument("runs", nargs="+")
    given = parser.parse_args()
    opened = Corpus.open(given.corpus)
    main(opened, Layer.open(opened, given.layer), [Store.at(run) for run in given.runs])
