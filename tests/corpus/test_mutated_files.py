"""What a build makes of damaged files of every kind: a row, or a reason; never an end of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from framework.core.errors import RowError
from framework.core.storage import Store
from framework.corpus.reader import Corpus
from framework.imaging.codecs.standard import StandardCodec
from framework.imaging.decode import decode_image
from framework.labelling.stream import Decode
from tests.corpus.mutated import MUTATIONS, Mutation, build, kinds, write_folder


def test_each_of_many_damaged_files_is_a_row_or_has_a_reason(tmp_path: Path) -> None:
    write_folder(tmp_path / "folder", files=60, bombs=0)
    info = build(tmp_path / "folder", tmp_path / "corpus")
    assert info.counts["rows"] + info.counts["quarantined"] == 60
    assert info.counts["rows"] > 5
    reasons = Store.at(tmp_path / "corpus").read_table("quarantine.parquet")["reason"].to_pylist()
    assert all(reason and "\n" not in reason for reason in reasons)
    corpus = Corpus.open(str(tmp_path / "corpus"))
    for sample in corpus.rows(corpus.ids("train")):
        stored = corpus.value(sample.id, "height"), corpus.value(sample.id, "width")
        assert sample.image.shape[:2] == stored


def test_every_kind_is_tried_and_readable_when_whole() -> None:
    whole = kinds(np.random.default_rng(0))
    assert {suffix for suffix, _ in whole.values()} >= set(StandardCodec.suffixes)
    for name, (_, data) in whole.items():
        assert decode_image(data).shape[:2] == (48, 48), name


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_a_later_stage_gives_the_same_reason_as_the_build(mutation: Mutation) -> None:
    rng = np.random.default_rng(7)
    for _, data in kinds(rng).values():
        damaged = mutation(data, rng)
        try:
            decode_image(damaged, 3)
            reason = ""
        except RowError as error:
            reason = str(error)
        _, streamed, _ = Decode(None, 3, 16)._decoded(damaged)
        assert streamed == reason
