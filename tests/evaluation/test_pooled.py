"""Evaluation of lesions that may overlap, pooled over images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score
from torch import Tensor

from framework.core.storage import Store
from framework.corpus.reader import Corpus, Sample
from framework.corpus.writer import pack
from framework.evaluation.cases import case_rows
from framework.evaluation.evaluate import evaluate
from framework.evaluation.pooled import (
    classes_and_groups,
    contributions,
    pooled_rows,
    pooled_values,
    summarise_pooled,
)
from framework.experiments.pipeline.config import PhantomConfig
from framework.experiments.pipeline.run import phantom_source
from framework.inference.predictor import Predictor
from framework.methods.collaborative.lesions import Lesions
from framework.metrics.average_precision import AUPR
from framework.training.run import train
from tests.contract.support import tiny_run

LESIONS = ["spot", "film", "scar"]


def sample(i: int, bits: np.ndarray) -> Sample:
    image, ids = np.zeros((*bits.shape, 3), np.uint8), (bits > 0).astype(np.uint8)
    return Sample(f"i{i}", f"p{i // 2}", "test", None, None, None, image, ids, bits, np.zeros(0, np.int32))


def drawn(images: int = 8) -> list[tuple[Sample, Tensor]]:
    """Images with spots and films that overlap, and no scar; the probabilities know something."""
    rng = np.random.default_rng(0)
    drawings = []
    for i in range(images):
        bits = (rng.random((12, 10)) < 0.3).astype(np.uint8) + 2 * (
            rng.random((12, 10)) < 0.2 * (i > 3)
        ).astype(np.uint8)
        truth = np.stack([bits >> bit & 1 for bit in range(3)]).astype(int)
        lesions = torch.from_numpy(rng.integers(0, 700, truth.shape) + 300 * truth) / 1000 + 0.0005
        drawings.append((sample(i, bits), torch.cat([1 - lesions.amax(0, keepdim=True), lesions])))
    return drawings


def table_of(images: list[tuple[Sample, Tensor]]):  # type: ignore[no-untyped-def]
    import pyarrow as pa

    classes = ["background", *LESIONS]
    return pa.Table.from_pylist([row for each in images for row in pooled_rows(*each, classes)])


def test_the_summary_pools_the_pixels_of_all_images() -> None:
    images = drawn()
    pooled = summarise_pooled(table_of(images))
    for bit, name in enumerate(LESIONS[:2]):
        truth = np.concatenate([(one.bits >> bit & 1).ravel() for one, _ in images if one.bits is not None])
        score = np.concatenate([probability[bit + 1].numpy().ravel() for _, probability in images])
        assert pooled[name]["aupr"]["mean"] == pytest.approx(average_precision_score(truth, score))
        assert pooled[name]["aupr"]["low"] < pooled[name]["aupr"]["mean"] < pooled[name]["aupr"]["high"]
    assert (pooled["spot"]["images"], pooled["film"]["images"]) == (8, 4)
    assert pooled["scar"] == {"aupr": None, "images": 0}
    assert pooled["mean"]["aupr"]["mean"] == pytest.approx(
        (pooled["spot"]["aupr"]["mean"] + pooled["film"]["aupr"]["mean"]) / 2
    )


def test_a_weight_counts_as_so_many_images() -> None:
    images = drawn(4)
    metric, table = AUPR(), table_of(images)
    counts = contributions(table, metric)
    assert counts.shape[:3] == (4, 3, 2)
    assert classes_and_groups(table) == (LESIONS, ["p0", "p0", "p1", "p1"])
    twice = contributions(table_of([*images, images[2], images[2]]), metric)
    weighted = pooled_values(metric, counts, np.array([[1.0, 1, 3, 1]]))
    plain = pooled_values(metric, twice, np.ones((1, 6)))
    assert weighted[:, 0] == pytest.approx(plain[:, 0]) and np.isnan(weighted[0, 1:3]).all()


def test_no_lesion_at_all_has_no_area() -> None:
    clear = [(sample(0, np.zeros((4, 4), np.uint8)), torch.full((4, 4, 4), 0.5))]
    assert summarise_pooled(table_of(clear)) == {
        name: {"aupr": None, "images": 0} for name in [*LESIONS, "mean"]
    }


def test_an_evaluation_has_both_scores_from_one_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = Store.at(tmp_path / "corpus")
    pack(phantom_source(PhantomConfig(images=40, size=48), "tiny"), corpus)
    model = train(tiny_run(corpus.url, "lesions-alone", tmp_path))
    seen: list[int] = []
    predict = Lesions.predict

    def counted(method: Lesions, image: Tensor) -> dict[str, Tensor]:
        seen.append(len(image))
        return predict(method, image)

    monkeypatch.setattr(Lesions, "predict", counted)
    out = Store.at(tmp_path / "test")
    summary = evaluate(model, corpus.url, out)
    opened = Corpus.open(corpus.url)
    names = opened.ids("test")
    assert sum(seen) == len(names) + len(out.read_json("pictures.json"))
    assert summary["predictors"]["network 1"]["mean"]["dice"]["mean"] <= 1
    assert list(summary["pooled"]) == [*opened.info.classes[1:], "mean"]
    images = [opened.read(name) for name in opened.in_stored_order(names)]
    (predicted,) = zip(
        *[each.values() for each in Predictor(model).at_own_sizes([image.image for image in images])],
        strict=True,
    )
    for bit, lesion in enumerate(opened.info.classes[1:]):
        truth = np.concatenate(
            [(image.bits >> bit & 1).ravel() for image in images if image.bits is not None]
        )
        pooled = summary["pooled"][lesion]
        if truth.any():
            score = np.concatenate([(p[bit + 1].numpy() * 1000).astype(int).ravel() for p in predicted])
            assert pooled["aupr"]["mean"] == pytest.approx(average_precision_score(truth, score), abs=1e-3)
        assert pooled["images"] == sum(
            bool((image.bits >> bit & 1).any()) for image in images if image.bits is not None
        )
    assert areas_of(out) == {
        (image.id, lesion): (int((image.bits >> bit & 1).sum()), int((p[bit + 1] > 0.5).sum()))
        for image, p in zip(images, predicted, strict=True)
        for bit, lesion in enumerate(opened.info.classes[1:])
        if image.bits is not None
    }


def areas_of(evaluation: Store) -> dict[tuple[str, str], tuple[int, int]]:
    """Pixels of each lesion in truth and prediction: those under another lesion are there too."""
    rows = evaluation.read_table("cases.parquet").to_pylist()
    return {(row["case"], row["class"]): (row["truth"], row["predicted"]) for row in rows}


def test_lesions_that_overlap_are_each_scored_by_their_whole_mask() -> None:
    (image, _) = drawn(1)[0]
    assert image.bits is not None
    image.bits[:4] = 0b11
    truth = image.planes(4)
    nothing = np.zeros(image.bits.shape, bool)
    perfect = case_rows("network 1", image.id, image.group, truth, truth, nothing, ["background", *LESIONS])
    assert [(row["dice"], row["truth"]) for row in perfect[:2]] == [
        (1.0, int(plane.sum())) for plane in truth[:2]
    ]
    exclusive = np.stack([truth[0] & ~truth[1], *truth[1:]])
    assert (
        case_rows("network 1", image.id, image.group, truth, exclusive, nothing, ["background", *LESIONS])[0][
            "dice"
        ]
        < 1
    )
